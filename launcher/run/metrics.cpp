// Formats records twice: for people (short, rounded) and for programs (exact). A line of the file is one write(2), so
// a reader that follows it never sees two records mixed.
#include "launcher/run/metrics.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "core/io/json.hpp"

namespace trireme {
namespace {

/// JSON has no words for these; a text keeps the line valid and the fact visible.
Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double read_number(const Json& value) {
  if (value.is_string()) return std::strtod(value.get<std::string>().c_str(), nullptr);
  return value.get<double>();
}

StepRecord read_step(const Json& json) {
  return {.step = json.at("step"),
          .epoch = json.at("epoch"),
          .loss = read_number(json.at("loss")),
          .samples_per_second = read_number(json.at("samples_per_second")),
          .learning_rate = read_number(json.at("learning_rate")),
          .gradient_norm = read_number(json.at("gradient_norm")),
          .waiting_percent = read_number(json.at("waiting_percent")),
          .communication_percent = read_number(json.at("communication_percent")),
          .elapsed_seconds = read_number(json.at("elapsed_seconds"))};
}

ValidationRecord read_validation(const Json& json) {
  return {.step = json.at("step"),
          .epoch = json.at("epoch"),
          .loss = read_number(json.at("loss")),
          .accuracy = read_number(json.at("accuracy")),
          .elapsed_seconds = read_number(json.at("elapsed_seconds"))};
}

/// Keeps whole lines up to `last_step`: what came after is computed again by the resumed run.
void trim_file(const std::string& path, std::int64_t last_step) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = read_file(path);
  std::string kept;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end + 1 - begin);
    begin = end + 1;
    const Json json = Json::parse(line, nullptr, false);
    const bool counted = json.is_object() && json.contains("step") && json["step"].is_number_integer();
    if (counted && json["step"].get<std::int64_t>() <= last_step) kept += line;
  }
  if (kept != text) write_file_atomically(path, kept);
}

}  // namespace

MetricsWriter::MetricsWriter(MetricsSettings settings) : settings_(std::move(settings)) {
  if (settings_.file.empty()) return;
  trim_file(settings_.file, settings_.first_step);
  file_ = ::open(settings_.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file_ < 0) fail(ExitCode::storage, "cannot open '{}' for metrics: {}", settings_.file, std::strerror(errno));
}

MetricsWriter::~MetricsWriter() {
  if (status_shown_) print("\n");
  if (file_ >= 0) ::close(file_);
}

void MetricsWriter::record(const std::string& json) {
  if (file_ >= 0) write_all(file_, json + "\n", settings_.file);
}

void MetricsWriter::print(const std::string& text) {
  // Lines for people are worth less than the run: a closed terminal or pipe must not end it.
  [[maybe_unused]] const ssize_t done = ::write(settings_.output, text.data(), text.size());
}

void MetricsWriter::line(std::string_view text) {
  print(fmt::format("{}{}\n", status_shown_ ? "\r\x1b[K" : "", text));
  status_shown_ = false;
}

void MetricsWriter::step(const StepRecord& one) {
  record(to_json_line(one));
  const std::string text = format_step(one, settings_.first_step, settings_.total_steps);
  if (settings_.terminal_columns > 0) {
    const auto columns = static_cast<std::size_t>(settings_.terminal_columns);
    // A full last column would wrap, and the next refresh would then leave the first half standing.
    print(fmt::format("\r{}\x1b[K", text.substr(0, columns > 1 ? columns - 1 : 1)));
    status_shown_ = true;
    return;
  }
  const bool last = settings_.total_steps > 0 && one.step >= settings_.total_steps;
  if (one.elapsed_seconds < next_line_ && !last) return;
  next_line_ = one.elapsed_seconds + settings_.line_interval_seconds;
  line(text);
}

void MetricsWriter::validation(const ValidationRecord& one) {
  record(to_json_line(one));
  line(fmt::format("epoch {}  step {}  validation loss {:.4f}  accuracy {:.2f} %  after {}", one.epoch, one.step,
                   one.loss, 100 * one.accuracy, format_duration(one.elapsed_seconds)));
}

void MetricsWriter::summary(const Summary& values) {
  record(to_json_line(values));
  std::string text = "summary:";
  for (const auto& [name, value] : values) text += fmt::format("  {} {:.6g}", name, value);
  line(text);
}

int terminal_columns(int output) {
  // The launcher's pipes hide its terminal from the processes it starts, so it tells them.
  if (const char* told = std::getenv("TRIREME_TERMINAL")) return std::max(0, std::atoi(told));
  if (::isatty(output) == 0) return 0;
  winsize size{};
  return ::ioctl(output, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

double eta_seconds(std::int64_t done, std::int64_t total, double elapsed_seconds) {
  if (done <= 0 || total <= 0 || !(elapsed_seconds >= 0)) return -1;
  if (done >= total) return 0;
  return elapsed_seconds / static_cast<double>(done) * static_cast<double>(total - done);
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e11) return "-";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t minutes = whole / 60 % 60, hours = whole / 3600;
  if (hours >= 48) return fmt::format("{}d {:02}h", hours / 24, hours % 24);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string format_rate(double per_second) {
  if (!std::isfinite(per_second)) return "-";
  const char* units[] = {"", "k", "M", "G"};
  std::size_t unit = 0;
  if (std::abs(per_second) >= 9999.5) {
    for (; std::abs(per_second) >= 999.995 && unit < 3; ++unit) per_second /= 1000;
  }
  const double size = std::abs(per_second);
  const int decimals = size >= 999.95 ? 0 : size >= 99.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", per_second, decimals, units[unit]);
}

std::string format_step(const StepRecord& one, std::int64_t first_step, std::int64_t total_steps) {
  const std::string of = total_steps > 0 ? fmt::format("/{}", total_steps) : "";
  const double eta = eta_seconds(one.step - first_step, total_steps - first_step, one.elapsed_seconds);
  return fmt::format(
      "epoch {}  step {}{}  loss {:.4f}  {}/s  lr {:.3g}  |g| {:.3g}  data {:.0f} %  comm {:.0f} %  ETA {}", one.epoch,
      one.step, of, one.loss, format_rate(one.samples_per_second), one.learning_rate, one.gradient_norm,
      one.waiting_percent, one.communication_percent, format_duration(eta));
}

std::string to_json_line(const StepRecord& one) {
  return Json{{"kind", "step"},
              {"step", one.step},
              {"epoch", one.epoch},
              {"loss", number(one.loss)},
              {"samples_per_second", number(one.samples_per_second)},
              {"learning_rate", number(one.learning_rate)},
              {"gradient_norm", number(one.gradient_norm)},
              {"waiting_percent", number(one.waiting_percent)},
              {"communication_percent", number(one.communication_percent)},
              {"elapsed_seconds", number(one.elapsed_seconds)}}
      .dump();
}

std::string to_json_line(const ValidationRecord& one) {
  return Json{{"kind", "validation"},
              {"step", one.step},
              {"epoch", one.epoch},
              {"loss", number(one.loss)},
              {"accuracy", number(one.accuracy)},
              {"elapsed_seconds", number(one.elapsed_seconds)}}
      .dump();
}

std::string to_json_line(const Summary& summary) {
  Json values = Json::object();
  for (const auto& [name, value] : summary) values[name] = number(value);
  return Json{{"kind", "summary"}, {"values", values}}.dump();
}

MetricsHistory read_metrics(const std::string& path) {
  const std::string text = read_file(path);
  MetricsHistory history;
  std::size_t begin = 0;
  std::int64_t line = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    ++line;
    try {
      const Json json = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                    text.begin() + static_cast<std::ptrdiff_t>(end));
      const std::string kind = json.at("kind");
      if (kind == "step") history.steps.push_back(read_step(json));
      if (kind == "validation") history.validations.push_back(read_validation(json));
    } catch (const Json::exception& error) {
      fail(ExitCode::corrupt_input, "{}:{}: no metrics record: {}", path, line, error.what());
    }
    begin = end + 1;
  }
  return history;
}

}  // namespace trireme
