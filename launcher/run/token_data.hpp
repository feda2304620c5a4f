// The data of a language model's training: one or more token sets with the tokenizer they were made with, as windows.
#pragma once

#include <string>

#include "datasets/open_samples.hpp"
#include "datasets/tokenizer.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

struct TokenDataOptions {
  std::string data = "data/austen";  ///< As in SampleRequest.
  std::int64_t context = 128;
  using Documents = TokenWindowOptions::Documents;
  Documents documents = Documents::joined;

  void declare(OptionGroup& group);
};

struct TokenData {
  /// Error(usage) where --data cannot be read so, see open_samples().
  explicit TokenData(const TokenDataOptions& options);

  Tokenizer tokenizer;
  Samples train;
  Samples validation;  ///< Of the split "validation"; null where no set has it.
};

}  // namespace trireme
