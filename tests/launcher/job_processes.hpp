// The processes of this machine, by their command lines.
#pragma once

#include <sys/types.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/messages.hpp"

namespace trireme {

struct SeenProcess {
  pid_t id = 0;
  std::string line;  // its command line, a NUL behind each word
  std::string program() const { return std::filesystem::path(line.substr(0, line.find('\0'))).filename().string(); }
};

inline std::vector<SeenProcess> all_processes() {
  std::vector<SeenProcess> out;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const pid_t process = std::atoi(entry->path().filename().c_str());
    if (process <= 0) continue;
    std::ifstream file(entry->path() / "cmdline");
    std::string line(1 << 17, '\0');
    // A process may end meanwhile: this fails then, where iterators on the stream would throw.
    file.read(line.data(), static_cast<std::streamsize>(line.size()));
    line.resize(static_cast<std::size_t>(file.gcount()));
    out.push_back({process, line});
  }
  return out;
}

inline std::string all_command_lines() {
  std::string out;
  for (const SeenProcess& one : all_processes()) out += one.line + "\n";
  return out;
}

/// The processes of a program whose command lines hold `words`, one after the other. mpirun's holds the whole line of
/// what it starts.
inline std::vector<pid_t> processes(const std::string& program, const std::vector<std::string>& words) {
  std::string wanted;
  for (const std::string& word : words) wanted += word + std::string(1, '\0');
  std::vector<pid_t> found;
  for (const SeenProcess& one : all_processes()) {
    if (one.program() == program && has(one.line, wanted)) found.push_back(one.id);
  }
  return found;
}

}  // namespace trireme
