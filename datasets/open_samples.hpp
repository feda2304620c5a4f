// Opens what a training run is told to learn from: one data set, or several with their shares.
#pragma once

#include <string>

#include "datasets/sample_source.hpp"
#include "datasets/token_windows.hpp"

namespace trireme {

struct SampleRequest {
  /// A folder, or several with their weights: "DIR=3,DIR=1".
  std::string data;
  std::string split = "train";
  /// For token sets, whose samples are windows.
  TokenWindowOptions windows = {};
};

/// The samples of a split, mixed where there are several data sets. ExitCode::usage for token sets without a context or
/// of different tokenizers, and for weights that are no numbers above 0.
Samples open_samples(const SampleRequest& request);

}  // namespace trireme
