// Opens what a training run is told to learn from: one data set, or several with their shares.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/sample_source.hpp"
#include "datasets/token_windows.hpp"

namespace trireme {

struct SampleRequest {
  /// A folder, or several with their weights: "DIR=3,DIR=1".
  std::string data;
  std::string split = "train";
  /// pass_over: data sets without the split are left out.
  enum class Missing : std::uint8_t { refuse, pass_over } missing = Missing::refuse;
  /// For token sets, whose samples are windows.
  TokenWindowOptions windows = {};
};

/// The folders in such a text; ExitCode::usage for weights that are no numbers above 0.
std::vector<std::string> folders_in(const std::string& data);

/// Null where no data set has the split and that is passed over. The samples of a split, mixed where there are several
/// data sets. ExitCode::usage for token sets without a context or of different tokenizers, for sets whose
/// fields or classes differ, and for weights that are no numbers above 0.
Samples open_samples(const SampleRequest& request);

}  // namespace trireme
