// Attention of several heads and the blocks of Transformers (Vaswani et al. 2017, arXiv:1706.03762): encoder blocks,
// decoder blocks that also look at a memory, and both in one. For language models with rotary positions, grouped heads
// and caches see core/models.
#pragma once

#include <deque>
#include <optional>

#include "core/nn/layers.hpp"
#include "core/ops/cross_attention.hpp"

namespace trireme {

struct MultiHeadAttentionOptions {
  enum class Mask : std::uint8_t { none, causal } mask = Mask::none;
  double dropout = 0;  ///< Of the weights, in training.
  Bias bias = Bias::yes;
  /// Distances of key and query up to which a learnt bias of the scores tells them apart, per head; 0: no such bias.
  std::int64_t relative_distance = 0;
};

/// Attention over the sequence itself (in_weight (3 C, C): queries, keys, values) or over a memory (query_weight (C,
/// C), memory_weight (2 C, Cm): keys, values), then output_weight (C, C); biases likewise; relative (2 distance + 1,
/// heads). Over itself, without lengths, bias by distance and dropout in training, it runs block-wise in memory linear
/// in the sequence; else by core/ops/cross_attention.hpp, which computes long sequences twice to that end.
class MultiHeadAttention : public Module {
 public:
  enum class Over : std::uint8_t { itself, memory };
  MultiHeadAttention(std::int64_t heads, Over over, const MultiHeadAttentionOptions& options = {});
  /// What one pass looks at.
  struct Keys {
    Value memory = {};    ///< (B, Tk, Cm), of Over::memory.
    Tensor lengths = {};  ///< i32 (B) or an empty handle: keys of each sample that are no padding.
  };
  /// Over itself: (B, T, C) -> (B, T, C).
  Value forward(Context& context, const Value& x) override { return apply(context, x, {}); }
  Value apply(Context& context, const Value& x, const Keys& keys);
  void parts(Visitor& visit) override;

 private:
  void make(Context& context, const Value& x, const Keys& keys);
  Value attend(Context& context, const Value& x, const Keys& keys);
  Value projected(Context& context, const Value& x, std::pair<Parameter*, Parameter*> weight_bias) const;

  std::int64_t heads_;
  Over over_;
  MultiHeadAttentionOptions options_;
  std::optional<Parameter> first_weight_, first_bias_, memory_weight_, memory_bias_, output_weight_, output_bias_;
  std::optional<Parameter> relative_;
};

struct TransformerOptions {
  std::int64_t heads = 1;
  std::int64_t inner = 0;  ///< Of the two dense layers between which the activation stands; 0: 4 C.
  double dropout = 0;      ///< Of attention weights, activations, and of each part before it is added.
  ops::Activation activation = ops::Activation::relu;
  /// Norms after each sum, as in the paper, or at the start of each part (Xiong et al. 2020, arXiv:2002.04745).
  enum class Norms : std::uint8_t { after, before } norms = Norms::after;
  std::int64_t relative_distance = 0;  ///< See MultiHeadAttentionOptions; of attention over itself.
  std::int64_t layers = 1;             ///< Of encoder and decoder each.
};

/// Attention over itself, then two dense layers; each is added to its input. Names: attention, norm1, linear1, linear2,
/// norm2.
class EncoderBlock : public Module {
 public:
  explicit EncoderBlock(const TransformerOptions& options);
  Value forward(Context& context, const Value& x) override { return apply(context, x, {}); }
  /// `lengths` as in MultiHeadAttention::Keys.
  Value apply(Context& context, const Value& x, const Tensor& lengths);
  void parts(Visitor& visit) override;

 private:
  TransformerOptions options_;
  MultiHeadAttention attention_;
  std::unique_ptr<Module> linear1_, linear2_;
  LayerNorm norm1_, norm2_;
};

/// Causal attention over itself, attention over a memory, two dense layers. Names: attention, norm1, cross, norm2,
/// linear1, linear2, norm3.
class CrossBlock : public Module {
 public:
  explicit CrossBlock(const TransformerOptions& options);
  /// Without a memory there is nothing to do: throws.
  Value forward(Context& context, const Value& x) override;
  Value apply(Context& context, const Value& x, const MultiHeadAttention::Keys& memory);
  void parts(Visitor& visit) override;

 private:
  TransformerOptions options_;
  MultiHeadAttention attention_, cross_;
  std::unique_ptr<Module> linear1_, linear2_;
  LayerNorm norm1_, norm2_, norm3_;
};

/// Encoder blocks one after the other, named 0, 1, ...; with norms before, a last one named norm.
class TransformerEncoder : public Module {
 public:
  explicit TransformerEncoder(const TransformerOptions& options);
  Value forward(Context& context, const Value& x) override { return apply(context, x, {}); }
  Value apply(Context& context, const Value& x, const Tensor& lengths);
  void parts(Visitor& visit) override;

 private:
  std::deque<EncoderBlock> blocks_;
  std::optional<LayerNorm> norm_;
};

/// An encoder of the source and a decoder of the target that looks at it. Names: encoder, decoder.0, ..., and with
/// norms before decoder.norm. Embeddings and positions are the caller's.
class Transformer : public Module {
 public:
  explicit Transformer(const TransformerOptions& options);
  struct Sequences {
    Value source, target;        ///< (B, Ts, C), (B, Tt, C).
    Tensor source_lengths = {};  ///< i32 (B) or an empty handle.
  };
  /// The same sequence as source and target.
  Value forward(Context& context, const Value& x) override { return apply(context, {x, x}); }
  /// -> (B, Tt, C).
  Value apply(Context& context, const Sequences& sequences);
  void parts(Visitor& visit) override;

 private:
  TransformerEncoder encoder_;
  std::deque<CrossBlock> decoder_;
  std::optional<LayerNorm> norm_;
};

}  // namespace trireme
