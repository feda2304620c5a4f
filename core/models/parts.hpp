// The parts language models are made of: dense layers, norms and the frame of a block. Extents come from the
// model's config, so parameters are declared by constructors.
#pragma once

#include <optional>

#include "core/nn/layers.hpp"
#include "core/ops/attention.hpp"
#include "core/ops/matmul.hpp"
#include "core/ops/rms_norm.hpp"

namespace trireme {

/// What one pass of a language model looks at.
struct TokenInput {
  Tensor ids;                  ///< i32 (B, T)
  Tensor document_start = {};  ///< i32 (B, T) or nothing: attention does not reach before this index of its row.
};

/// Keys and values of the tokens so far, for generation: one cache a layer.
struct DecodingState {
  std::vector<ops::KeyValueCache> layers;
  std::vector<std::int32_t> lengths;  ///< (B): tokens of each row in the caches.
  std::int64_t capacity = 0;          ///< Tokens a row may have.
};

/// What the blocks of a model are told in one pass.
struct BlockPass {
  const TokenInput& input;
  DecodingState* decoding = nullptr;
  Tensor positions = {};  ///< i32 (B, T) where they are not 0, 1, 2, ...
};

struct ProjectionOptions {
  ops::WeightForm form = ops::WeightForm::outputs_inputs;
  Bias bias = Bias::no;
  double deviation = 0.02;  ///< Of the normal distribution the weight is drawn from.
};

/// A dense layer. Names: weight, bias.
class Projection : public Module {
 public:
  struct Extents {
    std::int64_t inputs, outputs;
  };
  Projection(const Extents& extents, const ProjectionOptions& options);
  Value forward(Context& context, const Value& x) override { return apply(context, x, ops::Activation::none); }
  Value apply(Context& context, const Value& x, ops::Activation activation);
  void parts(Visitor& visit) override;

 private:
  ops::WeightForm form_;
  Parameter weight_;
  std::optional<Parameter> bias_;
};

/// Layer norm, or RMS norm without bias, over the last dim. Names: weight, bias.
class Norm : public Module {
 public:
  enum class Kind : std::uint8_t { layer, rms };
  Norm(Kind kind, std::int64_t width, double epsilon);
  Value forward(Context& context, const Value& x) override;
  /// x + residual, and its norm.
  ops::SumNorm add(Context& context, const Value& x, const Value& residual);
  void parts(Visitor& visit) override;

 private:
  Kind kind_;
  double epsilon_;
  Parameter weight_;
  std::optional<Parameter> bias_;
};

/// What backward computes again instead of keeping it: nothing, the attention of each block with its products, or all
/// of each block.
enum class Recompute : std::uint8_t { none, attention, block };

struct BlockOptions {
  Norm::Kind norm = Norm::Kind::layer;
  std::int64_t width = 0;
  double epsilon = 1e-5;
  double dropout = 0;  ///< Of both parts, before they are added.
  Recompute recompute = Recompute::none;
  ops::AttentionOptions attention = {};
  std::size_t layer = 0;
};

/// x + attention(norm(x)), then x + mlp(norm(x)). Takes and gives the residual stream in two parts whose sum is due, so
/// that sum and norm are one pass. A model's block says what attention and mlp are.
class DecoderBlock : public Module {
 public:
  struct Stream {
    Value sum, branch;  ///< The residual stream is sum + branch; branch may be nothing.
  };
  explicit DecoderBlock(const BlockOptions& options);
  Stream apply(Context& context, const Stream& x, const BlockPass& pass);
  /// For a finished residual stream, without cache.
  Value forward(Context& context, const Value& x) override;

 protected:
  virtual Value attention(Context& context, const Value& normed, const BlockPass& pass) = 0;
  virtual Value mlp(Context& context, const Value& normed) = 0;
  virtual std::vector<Module*> attention_parts() = 0;
  /// Attention over packed queries, keys and values (B, T, (H + 2 Hkv) D), with the cache when decoding.
  Value attend(Context& context, const Value& qkv, const BlockPass& pass) const;
  const BlockOptions& options() const { return options_; }
  Norm first_norm_, second_norm_;

 private:
  Stream all(Context& context, const Stream& x, const BlockPass& pass);

  BlockOptions options_;
};

}  // namespace trireme
