// Log lines for people: one line per call to standard error, whole even when several processes share the terminal
// (one write(2) per line), with a prefix that says who speaks.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace trireme::log {

enum class Level { debug, info, warning, error };

/// Lines below `level` are dropped; the default is info.
void set_level(Level level);
/// Text put before every line, e.g. the process' place in a job.
void set_prefix(std::string prefix);
void write(Level level, std::string_view line);

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::warning, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace trireme::log
