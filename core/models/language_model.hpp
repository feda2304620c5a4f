// What all language models of this folder have in common: from tokens to hidden states and logits, decoding with a
// cache of keys and values, activation recomputation, counts for throughput.
#pragma once

#include <memory>

#include "core/models/config.hpp"
#include "core/models/parts.hpp"

namespace trireme {

struct LanguageModelOptions {
  double dropout = 0;
  Recompute recompute = Recompute::none;
};

class LanguageModel : public Module {
 public:
  explicit LanguageModel(const ModelConfig& config) : config_(config) {}
  const ModelConfig& config() const { return config_; }
  virtual std::int64_t vocabulary() const = 0;
  /// The longest sequence.
  virtual std::int64_t context_length() const = 0;

  /// The hidden states after the last norm, (B, T, C). Error(usage) where T is beyond context_length().
  Value hidden(Context& context, const TokenInput& input);
  /// The weight of the head, (V, C): logits are hidden head^T.
  virtual Value head(Context& context) = 0;
  /// Logits (B, T, V) of ids i32 (B, T).
  Value forward(Context& context, const Value& ids) override;

  /// Bytes of the caches for one token of one sequence, in f32.
  std::int64_t cache_bytes_per_token() const;
  /// Empty caches for `rows` sequences of at most `capacity` tokens.
  DecodingState begin_decoding(Context& context, std::int64_t rows, std::int64_t capacity);
  /// Appends ids i32 (B, T) to the caches, of which row b counts its first counts[b] only, and returns the logits (B,
  /// V) after the last token that counts.
  Tensor decode(Context& context, const Tensor& ids, std::span<const std::int32_t> counts, DecodingState& state);

  /// Floating point operations of one token's forward and backward pass in sequences of T tokens: 6 for each weight
  /// that is multiplied (the head counted, look-ups not) and 12 L H D T for attention (Chowdhery et al. 2022,
  /// arXiv:2204.02311, appendix B).
  double training_flops_per_token(std::int64_t tokens) const;

 protected:
  virtual Value states(Context& context, const BlockPass& pass) = 0;
  struct AttentionSize {
    std::int64_t layers, heads, kv_heads, head_size;
  };
  virtual AttentionSize attention_size() const = 0;
  virtual std::int64_t multiplied_weights() const = 0;

 private:
  ModelConfig config_;
};

/// The model of a config. Error(usage) where its numbers do not fit together.
std::unique_ptr<LanguageModel> make_language_model(const ModelConfig& config, const LanguageModelOptions& options = {});

}  // namespace trireme
