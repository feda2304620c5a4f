// What the fuzz targets share. A target is a reader of files that libFuzzer calls with bytes of its own making: it may
// take them or throw an Error. A crash, another exception, a leak, a run of seconds or of hundreds of megabytes is a
// finding, and so is an input that is taken although it breaks what the reader promises (demand()).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"

namespace trireme::fuzz {

/// Inputs to begin with, made by each target; libFuzzer's first folder gets them as files when the program starts.
std::vector<std::string> seeds();

/// A folder of this process, empty at its start; the programs run with TMPDIR in memory.
const std::filesystem::path& work_folder();
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// Whether `action` took the input; false is an Error, which is the right answer to a bad one.
template <class Action>
bool takes(Action&& action) {
  try {
    action();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Ends the process unless `ok`: the reader took an input and what it made of it is wrong.
void demand(bool ok, std::string_view what);

/// Reads an input front to back; what is missing at its end is zero or empty.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  std::uint64_t number(int bytes);
  std::string_view text(std::size_t most);
  std::string_view rest() { return text(rest_.size()); }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace trireme::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
