// What the commands that make a data set have in common.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/set_aside.hpp"
#include "datasets/staged_folder.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

/// The options about the data set that is made.
struct DataTarget {
  std::string out, name;
  std::int64_t shard_rows = 0, compress = 0;
  bool overwrite = false;

  void declare(OptionGroup& options);
  Existing existing() const { return overwrite ? Existing::replace : Existing::refuse; }
  /// Hands them to an importer.
  template <class Import>
  void give(Import& import) const {
    import.out = out;
    import.name = name;
    import.shard_rows = shard_rows;
    import.compress = compress;
    import.existing = existing();
  }
};

/// The part of the samples that is put aside.
struct TestPart {
  double fraction = 0;
  std::int64_t seed = 1;

  void declare(OptionGroup& options) {
    options
        .add("test-fraction", &fraction, "part of the samples, chosen by --seed, that becomes the split test",
             {.low = 0, .high = 1})
        .add("seed", &seed, "puts other samples aside", {.low = 0});
  }
  SetAside set_aside() const { return {fraction, static_cast<std::uint64_t>(seed)}; }
};

/// Error(usage) where an option that must be given is empty.
void needed(const char* command, const char* option, const std::string& value);
/// "A,B,C" as A, B and C; Error(usage) for an empty one.
std::vector<std::string> list_of_names(const char* command, const char* option, const std::string& text);
/// Describes the new data set.
int made(const std::string& folder);

}  // namespace trireme
