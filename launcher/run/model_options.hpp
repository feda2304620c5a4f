// The options that choose a language model: a published size or own numbers.
#pragma once

#include <optional>
#include <string>

#include "core/models/hugging_face.hpp"
#include "core/models/language_model.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

struct ModelOptions {
  std::string model = "gpt";  ///< gpt2, gpt2-medium, gpt2-large, gpt2-xl, or gpt and llama of the numbers below.
  /// Folder with config.json, or the file: the model has those sizes, and none of the numbers may be given.
  std::string config = {};
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
  /// What has to be known beside the options.
  struct Request {
    std::int64_t tokens_known = 0;  ///< Of the tokenizer.
    std::int64_t context = 0;       ///< Tokens of a training sequence.
    /// --init-from: where that is a language model and no option says otherwise, the model has its sizes.
    std::string weights_from = {};
    std::optional<std::int32_t> end_of_text = {};
  };
  /// The model as config.json describes it. Error(usage) where numbers do not fit, or would not be used.
  HuggingFaceConfig config_for(const Request& request) const;
  bool operator==(const ModelOptions&) const = default;
  LanguageModelOptions building() const { return {.dropout = dropout, .recompute = recompute}; }

 private:
  ModelConfig own_config(const Request& request) const;
  void refuse_unused() const;
};

}  // namespace trireme
