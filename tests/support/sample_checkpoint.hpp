// Checkpoints with known contents: every number in one follows from its step and its `samples`, so whoever finds one
// can say whether it is exactly what was saved.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/run/checkpoint_store.hpp"

namespace trireme {

/// Two samples of the same step differ in `samples` alone and have different numbers.
struct Sample {
  std::int64_t step = 0;
  std::int64_t samples = 0;
  friend auto operator<=>(const Sample&, const Sample&) = default;
  std::string text() const;
};

/// Saves it as two ranks do: begin, a file for each, the manifest, commit. Where that fails what was begun is abandoned
/// and the Error goes on.
void save_sample(const CheckpointStore& store, const Sample& sample);

/// What the published folder `path` holds: the sample, if every byte and every number is right; `problem` else.
struct FoundSample {
  Sample sample;
  std::string problem;
};
FoundSample find_sample(const std::string& path);

}  // namespace trireme
