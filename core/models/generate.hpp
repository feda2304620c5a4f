// Writing on: which token comes next, and sequences of them for a batch of prompts.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/models/language_model.hpp"

namespace trireme {

struct SamplingOptions {
  double temperature = 1;  ///< Logits are divided by it; 0: always the most likely token.
  std::int64_t top_k = 0;  ///< Only so many of the most likely tokens; 0: all.
  double top_p = 1;        ///< Only the most likely tokens whose probabilities reach this (Holtzman et al. 2020).
  double repetition_penalty = 1;  ///< Divides positive and multiplies negative logits of tokens already there (Keskar
                                  ///< et al. 2019, arXiv:1909.05858).
  /// Error(usage) that names the option, where one is out of range.
  void check() const;
};

/// The next token by its logits. `before` are the tokens so far, `uniform` a number in (0, 1). Among equal logits the
/// smallest id counts as the most likely. Error(numeric) where no logit is finite.
std::int32_t choose_token(std::span<const float> logits, std::span<const std::int32_t> before,
                          const SamplingOptions& options, double uniform);

/// Hears each new token: the prompt's number and the token.
using OnToken = std::function<void(std::size_t prompt, std::int32_t token)>;

struct GenerateOptions {
  SamplingOptions sampling = {};
  std::int64_t new_tokens = 100;         ///< At most, for each prompt.
  std::vector<std::int32_t> stops = {};  ///< A row ends with any of these tokens.
  /// Only tokens below this are drawn; 0: all the model has. A table of tokens may have rows that no tokenizer knows.
  std::int64_t known_tokens = 0;
  std::uint64_t seed = 0;        ///< Draws depend on seed, prompt and place alone, not on the other prompts.
  std::size_t first_prompt = 0;  ///< Number of the first prompt among all, for draws.
  enum class Cache : std::uint8_t { on, off } cache = Cache::on;
  OnToken on_token = nullptr;
};

/// The new tokens of each prompt, the one that stopped it not among them. Rows also end where the model's context is
/// full. Error(usage) for an empty prompt or one that leaves no place in the context.
std::vector<std::vector<std::int32_t>> generate(LanguageModel& model, Context& context,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                const GenerateOptions& options);

}  // namespace trireme
