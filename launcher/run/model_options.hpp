// The options that choose a language model: a published size or own numbers.
#pragma once

#include <string>

#include "core/models/language_model.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

struct ModelOptions {
  std::string model = "gpt";  ///< gpt2, gpt2-medium, gpt2-large, gpt2-xl, or gpt and llama of the numbers below.
  std::string config = {};    ///< Folder with config.json, or the file, instead of all that follows but dropout.
  /// 0: what the chosen model has.
  std::int64_t layers = 0, heads = 0, kv_heads = 0, width = 0, inner = 0;
  std::int64_t positions = 0;   ///< The longest sequence the model can take; 0: that of training.
  std::int64_t vocabulary = 0;  ///< 0: the tokenizer's.
  std::int64_t window = 0;
  double rope_base = 10000;
  bool tied = true;  ///< llama: head and embedding are one.
  double dropout = 0;
  Recompute recompute = Recompute::none;

  void declare(OptionSet& options);
  /// `vocabulary` is the tokenizer's, `context` the tokens of a training sequence. Error(usage) where numbers do not
  /// fit.
  ModelConfig config_for(std::int64_t tokens_known, std::int64_t context) const;
  LanguageModelOptions building() const { return {.dropout = dropout, .recompute = recompute}; }
};

}  // namespace trireme
