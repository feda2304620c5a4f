// The lines for people, short and rounded, and the file. One write(2) is whole lines, so a reader that follows the file
// never sees two records mixed; what a full disk took of a line is taken back before the next try.
#include "launcher/run/metrics.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "launcher/run/prometheus.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_waiting = std::size_t{8} << 20;
constexpr double seconds_between_tries = 1, seconds_between_warnings = 60;

/// The run's name is that of its folder.
std::unique_ptr<PrometheusFile> open_prometheus(const MetricsSettings& settings) {
  if (settings.prometheus.empty()) return nullptr;
  std::int64_t resumes = 0;
  if (std::filesystem::exists(settings.file)) {
    for (const EventRecord& event : read_metrics(settings.file).events) resumes += event.event == "resume" ? 1 : 0;
  }
  return std::make_unique<PrometheusFile>(
      PrometheusSettings{.file = settings.prometheus,
                         .run = std::filesystem::path(settings.file).parent_path().filename().string(),
                         .total_steps = settings.total_steps,
                         .elapsed_before = settings.elapsed_before,
                         .resumes = resumes});
}

}  // namespace

MetricsWriter::MetricsWriter(MetricsSettings settings) : settings_(std::move(settings)) {
  if (settings_.file.empty()) return;
  trim_metrics(settings_.file, settings_.first_step);
  prometheus_ = open_prometheus(settings_);
  file_ = ::open(settings_.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file_ < 0) fail(ExitCode::storage, "cannot open '{}' for metrics: {}", settings_.file, std::strerror(errno));
  size_ = ::lseek(file_, 0, SEEK_END);
  sync_folder(std::filesystem::path(settings_.file).parent_path().string());
}

MetricsWriter::~MetricsWriter() {
  try {
    write_waiting();
  } catch (const Error& error) {
    warn(error.what());
  }
  if (status_shown_) print("\n");
  if (file_ >= 0) ::close(file_);
}

void MetricsWriter::record(const std::string& json) {
  if (file_ < 0) return;
  if (waiting_.size() < most_waiting) {
    waiting_ += json + "\n";
    ++waiting_records_;
  } else {
    ++lost_;
  }
  if (failing_ && steady_seconds() < next_try_) return;
  try {
    write_waiting();
  } catch (const Error& error) {
    next_try_ = steady_seconds() + seconds_between_tries;
    if (steady_seconds() < next_warning_) return;
    next_warning_ = steady_seconds() + seconds_between_warnings;
    warn(error.what());
  }
}

void MetricsWriter::write_waiting() {
  if (waiting_.empty()) return;
  if (failing_ && ::ftruncate(file_, size_) != 0) {
    fail(ExitCode::storage, "cannot take back half a line of '{}': {}", settings_.file, std::strerror(errno));
  }
  failing_ = true;
  write_all(file_, waiting_, settings_.file);
  failing_ = false;
  size_ += static_cast<std::int64_t>(waiting_.size());
  waiting_.clear();
  waiting_records_ = 0;
}

void MetricsWriter::warn(const std::string& problem) {
  if (status_shown_) print("\n");
  status_shown_ = false;
  log::warning("metrics: {}; {} record(s) not written yet, {} lost", problem, waiting_records_, lost_);
}

void MetricsWriter::sync() {
  if (file_ < 0) return;
  write_waiting();
  if (::fsync(file_) != 0) {
    fail(ExitCode::storage, "cannot write '{}' to disk: {}", settings_.file, std::strerror(errno));
  }
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
  StepRecord stored = one;
  stored.elapsed_seconds += settings_.elapsed_before;
  record(to_json_line(stored));
  if (prometheus_) prometheus_->step(one);
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
  ValidationRecord stored = one;
  stored.elapsed_seconds += settings_.elapsed_before;
  record(to_json_line(stored));
  if (prometheus_) prometheus_->validation(one);
  std::string more;
  if (one.perplexity) more += fmt::format("  perplexity {:.2f}", *one.perplexity);
  if (one.accuracy) more += fmt::format("  accuracy {:.2f} %", 100 * *one.accuracy);
  if (one.absolute_error) more += fmt::format("  mean absolute error {:.4g}", *one.absolute_error);
  if (one.squared_error) more += fmt::format("  mean squared error {:.4g}", *one.squared_error);
  line(fmt::format("epoch {}  step {}  validation loss {:.4f}{}  after {}", one.epoch, one.step, one.loss, more,
                   format_duration(stored.elapsed_seconds)));
}

void MetricsWriter::summary(const Summary& values) {
  record(to_json_line(values));
  std::string text = "summary:";
  for (const auto& [name, value] : values) text += fmt::format("  {} {:.6g}", name, value);
  line(text);
}

void MetricsWriter::event(std::int64_t step, const std::string& name, const std::string& text) {
  record(to_json_line(EventRecord{.step = step, .event = name, .text = text}));
  if (prometheus_) prometheus_->event(step, name);
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
  std::string rate = format_rate(one.tokens_per_second.value_or(one.samples_per_second));
  rate += one.tokens_per_second ? " tokens/s" : "/s";
  if (one.utilisation) rate += fmt::format("  MFU {:.0f} %", 100 * *one.utilisation);
  const std::string scale = one.loss_scale ? fmt::format("  scale {:.6g}", *one.loss_scale) : "";
  return fmt::format(
      "epoch {}  step {}{}  loss {:.4f}  {}  lr {:.3g}  |g| {:.3g}{}  data {:.0f} %  comm {:.0f} %  ETA {}", one.epoch,
      one.step, of, one.loss, rate, one.learning_rate, one.gradient_norm, scale, one.waiting_percent,
      one.communication_percent, format_duration(eta));
}

}  // namespace trireme
