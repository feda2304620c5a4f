// The data of a language model's training: one or more token sets with the tokenizer they were made with, as windows.
#pragma once

#include <string>

#include "datasets/dataset.hpp"
#include "datasets/token_windows.hpp"
#include "datasets/tokenizer.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {

struct TokenDataOptions {
  std::string data = "data/austen";  ///< "FOLDER" or "FOLDER:WEIGHT,FOLDER:WEIGHT"
  std::int64_t context = 128;
  enum class Documents : std::uint8_t { joined, apart } documents = Documents::joined;

  void declare(OptionGroup& group);
};

class TokenData {
 public:
  /// Opens all sets. Error(usage) where they were made with different tokenizers or the text of --data is none.
  explicit TokenData(const TokenDataOptions& options);
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// Windows of the split "train", mixed by weight.
  Samples train() const { return windows("train"); }
  /// Windows of the split "validation" of all sets that have one; null where none has.
  Samples validation() const { return windows("validation"); }

 private:
  struct Source {
    Dataset set;
    double weight;
  };
  Samples windows(const std::string& split) const;

  TokenWindowOptions options_;
  std::vector<Source> sources_;
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace trireme
