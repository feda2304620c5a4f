#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "core/base/log.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme::fuzz {

const std::filesystem::path& work_folder() {
  static const TempDir folder;
  return folder.path();
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  demand(file.good(), "the fuzz target can write into its own folder (is TMPDIR full?)");
}

void demand(bool ok, std::string_view what) {
  if (ok) return;
  fmt::print(stderr, "==== broken promise: {}\n", what);
  std::abort();
}

std::uint64_t Input::number(int bytes) {
  std::uint64_t value = 0;
  for (const char c : text(static_cast<std::size_t>(bytes))) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::string_view Input::text(std::size_t most) {
  const std::string_view taken = rest_.substr(0, most);
  rest_.remove_prefix(taken.size());
  return taken;
}

}  // namespace trireme::fuzz

/// libFuzzer calls it before it reads its folders: the first one named gets the seeds.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  using namespace trireme;
  log::set_level(log::Level::error);
  char** const end = *argv + *argc;
  char** const named = std::find_if(*argv + 1, end, [](const char* word) { return *word != '-'; });
  if (named == end || !std::filesystem::is_directory(*named)) return 0;
  int number = 0;
  for (const std::string& seed : fuzz::seeds()) {
    fuzz::write_file(std::filesystem::path(*named) / fmt::format("seed-{:02}", number++), seed);
  }
  return 0;
}
