// Reading and trimming judge a line by the same functions: what trim_metrics() keeps, read_metrics() reads.
#include "launcher/run/metrics_records.hpp"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "core/io/json.hpp"

namespace trireme {
namespace {

/// JSON has no words for these; a text keeps the line valid and the fact visible.
Json finite_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double read_number(const Json& value) {
  if (value.is_string()) return std::strtod(value.get<std::string>().c_str(), nullptr);
  return value.get<double>();
}

std::optional<double> read_optional(const Json& json, const char* name) {
  return json.contains(name) ? std::optional(read_number(json[name])) : std::nullopt;
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
          .tokens_per_second = read_optional(json, "tokens_per_second"),
          .utilisation = read_optional(json, "utilisation"),
          .loss_scale = read_optional(json, "loss_scale"),
          .elapsed_seconds = read_number(json.at("elapsed_seconds"))};
}

ValidationRecord read_validation(const Json& json) {
  return {.step = json.at("step"),
          .epoch = json.at("epoch"),
          .loss = read_number(json.at("loss")),
          .accuracy = read_optional(json, "accuracy"),
          .perplexity = read_optional(json, "perplexity"),
          .absolute_error = read_optional(json, "absolute_error"),
          .squared_error = read_optional(json, "squared_error"),
          .elapsed_seconds = read_number(json.at("elapsed_seconds"))};
}

EventRecord read_event(const Json& json) {
  return {.step = json.at("step"), .event = json.at("event"), .text = json.at("text")};
}

enum class Fate { kept, removed, damaged };

Fate fate_of(const std::string& line, std::int64_t last_step) {
  const auto until = [&](std::int64_t step) { return step <= last_step ? Fate::kept : Fate::removed; };
  try {
    const Json json = Json::parse(line);
    const std::string kind = json.at("kind");
    if (kind == "step") return until(read_step(json).step);
    if (kind == "validation") return until(read_validation(json).step);
    if (kind == "summary") return Fate::removed;
    if (kind == "event") {
      const EventRecord event = read_event(json);
      return event.event == "resume" || event.event == "rollback" ? Fate::kept : until(event.step);
    }
    // A kind of another version or program is judged by its step, if it has one.
    return json.contains("step") ? until(json.at("step")) : Fate::kept;
  } catch (const Json::exception&) {
    return Fate::damaged;
  }
}

/// Of a file where everything before byte `whole` is kept.
void cut(const std::string& path, std::size_t whole, const std::string& later) {
  if (later.empty()) {
    if (::truncate(path.c_str(), static_cast<off_t>(whole)) == 0) return;
    fail(ExitCode::storage, "cannot shorten '{}': {}", path, std::strerror(errno));
  }
  std::string text = read_file(path);
  text.resize(whole);
  write_file_atomically(path, text + later);
}

}  // namespace

std::string to_json_line(const StepRecord& one) {
  Json json{{"kind", "step"},
            {"step", one.step},
            {"epoch", one.epoch},
            {"loss", finite_number(one.loss)},
            {"samples_per_second", finite_number(one.samples_per_second)},
            {"learning_rate", finite_number(one.learning_rate)},
            {"gradient_norm", finite_number(one.gradient_norm)},
            {"waiting_percent", finite_number(one.waiting_percent)},
            {"communication_percent", finite_number(one.communication_percent)},
            {"elapsed_seconds", finite_number(one.elapsed_seconds)}};
  if (one.tokens_per_second) json["tokens_per_second"] = finite_number(*one.tokens_per_second);
  if (one.utilisation) json["utilisation"] = finite_number(*one.utilisation);
  if (one.loss_scale) json["loss_scale"] = finite_number(*one.loss_scale);
  return json.dump();
}

std::string to_json_line(const ValidationRecord& one) {
  Json json{{"kind", "validation"},
            {"step", one.step},
            {"epoch", one.epoch},
            {"loss", finite_number(one.loss)},
            {"elapsed_seconds", finite_number(one.elapsed_seconds)}};
  if (one.accuracy) json["accuracy"] = finite_number(*one.accuracy);
  if (one.perplexity) json["perplexity"] = finite_number(*one.perplexity);
  if (one.absolute_error) json["absolute_error"] = finite_number(*one.absolute_error);
  if (one.squared_error) json["squared_error"] = finite_number(*one.squared_error);
  return json.dump();
}

std::string to_json_line(const EventRecord& one) {
  const Json json{{"kind", "event"}, {"step", one.step}, {"event", one.event}, {"text", one.text}};
  // Texts may quote a file's name, which may be any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json_line(const Summary& summary) {
  Json values = Json::object();
  for (const auto& [name, value] : summary) values[name] = finite_number(value);
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
      if (kind == "event") history.events.push_back(read_event(json));
    } catch (const Json::exception& error) {
      fail(ExitCode::corrupt_input, "{}:{}: no metrics record: {}", path, line, error.what());
    }
    begin = end + 1;
  }
  return history;
}

void trim_metrics(const std::string& path, std::int64_t last_step) {
  if (!std::filesystem::exists(path)) return;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ExitCode::storage, "cannot open '{}' for reading: {}", path, std::strerror(errno));
  constexpr std::int64_t named = 5;
  std::size_t whole = 0;
  std::int64_t number = 0, damaged = 0;
  bool gap = false;
  std::string later;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const Fate fate = file.eof() ? Fate::removed : fate_of(line, last_step);
    if (fate == Fate::damaged && ++damaged <= named) log::warning("{}:{}: no metrics record; removed", path, number);
    gap = gap || fate != Fate::kept;
    if (!gap) whole += line.size() + 1;
    if (gap && fate == Fate::kept) later += line + "\n";
  }
  if (file.bad()) fail(ExitCode::storage, "cannot read '{}': {}", path, std::strerror(errno));
  if (damaged > named) log::warning("{}: {} damaged lines removed in all", path, damaged);
  if (gap) cut(path, whole, later);
}

}  // namespace trireme
