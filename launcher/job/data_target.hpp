// What every command that makes a data set takes.
#pragma once

#include <string>

#include "core/base/error.hpp"
#include "datasets/staged_folder.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

struct DataTarget {
  std::string out, name;
  std::int64_t shard_rows = 0;
  bool overwrite = false;

  void declare(OptionGroup& options) {
    options.add("out", &out, "folder of the data set; appears whole or not at all; must be given")
        .add("name", &name, "name of the data set; empty: the folder's name")
        .add("shard-rows", &shard_rows, "samples per shard; 0: as many as 256 MiB hold", {.low = 0})
        .add("overwrite", &overwrite, "replace a data set that exists");
  }
  Existing existing() const { return overwrite ? Existing::replace : Existing::refuse; }
  /// Gives an import or a generator these values.
  template <class Job>
  void fill(Job& job) const {
    job.out = out;
    job.name = name;
    job.shard_rows = shard_rows;
    job.existing = existing();
  }
};

/// Error(usage) where an option that must be given was not.
inline void needed(const char* command, const char* option, const std::string& value) {
  if (value.empty()) fail(ExitCode::usage, "{} needs --{}; see {} --help", command, option, command);
}

}  // namespace trireme
