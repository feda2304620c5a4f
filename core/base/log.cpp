#include "core/base/log.hpp"

#include <unistd.h>

#include <mutex>

namespace trireme::log {
namespace {

std::mutex guard;
Level lowest = Level::info;
std::string prefix_text;

const char* mark(Level level) {
  switch (level) {
    case Level::debug:
      return "debug: ";
    case Level::warning:
      return "warning: ";
    case Level::error:
      return "error: ";
    case Level::info:
      break;
  }
  return "";
}

}  // namespace

void set_level(Level level) {
  const std::lock_guard lock(guard);
  lowest = level;
}

void set_prefix(std::string prefix) {
  const std::lock_guard lock(guard);
  prefix_text = std::move(prefix);
}

void write(Level level, std::string_view line) {
  const std::lock_guard lock(guard);
  if (level < lowest) return;
  const std::string text = fmt::format("{}{}{}\n", prefix_text, mark(level), line);
  // A log line that cannot be written has nowhere else to go.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace trireme::log
