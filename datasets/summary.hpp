// What `trireme data info` prints about a data set.
#pragma once

#include <string>

#include "datasets/dataset.hpp"

namespace trireme {

/// Lines for people: fields, classes, splits, shards, fingerprint, where it comes from.
std::string describe(const Dataset& dataset);
/// The index with "fingerprint" and "folder" added, for programs.
Json describe_json(const Dataset& dataset);
/// "12.3 MiB".
std::string bytes_text(std::int64_t bytes);

}  // namespace trireme
