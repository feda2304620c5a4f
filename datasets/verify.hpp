// Checks every byte of a data set against its index: sizes, checksums of files and fields, counts, labels, tokens,
// images that are kept as files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.hpp"

namespace trireme {

struct ShardProblem {
  std::string file;
  std::string what;
};

struct VerifyReport {
  std::int64_t shards = 0;
  std::int64_t samples = 0;
  std::int64_t bytes = 0;
  std::vector<ShardProblem> problems;
};

/// Looks at all shards, also after a bad one. Damage goes into the report; only an unreadable index throws.
VerifyReport verify_dataset(const Dataset& dataset);

}  // namespace trireme
