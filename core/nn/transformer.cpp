#include "core/nn/transformer.hpp"

#include "core/ops/attention.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {
namespace {

/// A dense layer of so many outputs, or of as many as the input of the block has.
class Dense : public Module {
 public:
  Dense(std::int64_t outputs, ops::Activation activation) : outputs_(outputs), activation_(activation) {}
  Value forward(Context& context, const Value& x) override {
    if (!inner_) inner_.emplace(outputs_, LinearOptions{.activation = activation_, .weight = xavier(x)});
    return inner_->forward(context, x);
  }
  void parts(Visitor& visit) override {
    if (inner_) inner_->parts(visit);
  }

 private:
  Initializer xavier(const Value& x) const { return Initializer::xavier_uniform(x.shape()[-1], outputs_); }
  std::int64_t outputs_;
  ops::Activation activation_;
  std::optional<Linear> inner_;
};

MultiHeadAttentionOptions attention_options(const TransformerOptions& o, MultiHeadAttentionOptions::Mask mask) {
  return {.mask = mask, .dropout = o.dropout, .relative_distance = o.relative_distance};
}

/// The two dense layers, made when the width is known.
struct FeedForward {
  const TransformerOptions& options;
  std::unique_ptr<Module>&linear1, &linear2;
  Value operator()(Context& context, const Value& x) const {
    const std::int64_t width = x.shape()[-1];
    if (!linear1) {
      linear1 = std::make_unique<Dense>(options.inner > 0 ? options.inner : 4 * width, options.activation);
      linear2 = std::make_unique<Dense>(width, ops::Activation::none);
    }
    const Value inner = ops::dropout(context, linear1->forward(context, x), {.probability = options.dropout});
    return linear2->forward(context, inner);
  }
};

/// x + part(x), with a norm before the part or after the sum.
struct Sum {
  Context& context;
  const TransformerOptions& options;
  template <class F>
  Value operator()(const Value& x, LayerNorm& norm, const F& part) const {
    const bool before = options.norms == TransformerOptions::Norms::before;
    const Value branch = part(before ? norm.forward(context, x) : x);
    const Value sum = ops::add(context, x, ops::dropout(context, branch, {.probability = options.dropout}));
    return before ? sum : norm.forward(context, sum);
  }
};

}  // namespace

MultiHeadAttention::MultiHeadAttention(std::int64_t heads, Over over, const MultiHeadAttentionOptions& options)
    : heads_(heads), over_(over), options_(options) {
  require(
      heads > 0 && options.relative_distance >= 0 && options.dropout >= 0 && options.dropout < 1,
      "MultiHeadAttention of {} heads, distances up to {} and dropout {}: wanted at least 1, at least 0, and [0, 1)",
      heads, options.relative_distance, options.dropout);
}

void MultiHeadAttention::make(Context& context, const Value& x, const Keys& keys) {
  if (output_weight_) return;
  require(context.on_meta(), "MultiHeadAttention was used before plan_arena() saw it: its parameters have no place");
  const std::int64_t width = x.shape()[-1], memory = keys.memory.tensor() ? keys.memory.shape()[-1] : width;
  require(width % heads_ == 0, "MultiHeadAttention: {} channels cannot be shared by {} heads", width, heads_);
  const auto add = [&](std::optional<Parameter>& weight, std::optional<Parameter>& bias, Shape shape) {
    weight.emplace(shape, Initializer::xavier_uniform(shape[1], width));
    if (options_.bias == Bias::yes) bias.emplace(Shape{shape[0]}, Initializer::zeros(), Decay::no);
  };
  add(first_weight_, first_bias_, {over_ == Over::itself ? 3 * width : width, width});
  if (over_ == Over::memory) add(memory_weight_, memory_bias_, {2 * width, memory});
  add(output_weight_, output_bias_, {width, width});
  if (options_.relative_distance > 0)
    relative_.emplace(Shape{2 * options_.relative_distance + 1, heads_}, Initializer::zeros(), Decay::no);
}

Value MultiHeadAttention::projected(Context& context, const Value& x, std::pair<Parameter*, Parameter*> pair) const {
  const auto [weight, bias] = pair;
  return ops::linear(context, x, {.weight = context.use(*weight), .bias = bias ? context.use(*bias) : Value()});
}

namespace {

Parameter* address(std::optional<Parameter>& parameter) { return parameter ? &*parameter : nullptr; }

}  // namespace

Value MultiHeadAttention::attend(Context& context, const Value& x, const Keys& keys) {
  const std::int64_t width = x.shape()[-1];
  const bool itself = over_ == Over::itself, causal = options_.mask == MultiHeadAttentionOptions::Mask::causal;
  const Value first = projected(context, x, {address(first_weight_), address(first_bias_)});
  const bool drops = options_.dropout > 0 && context.training();
  if (itself && !keys.lengths && !relative_ && !drops)
    return ops::attention(context, first,
                          {.heads = heads_,
                           .kv_heads = heads_,
                           .head_size = width / heads_,
                           .mask = causal ? ops::AttentionOptions::Mask::causal : ops::AttentionOptions::Mask::none});
  const Value pair = itself ? first : projected(context, keys.memory, {address(memory_weight_), address(memory_bias_)});
  const std::int64_t at = itself ? width : 0;
  const ops::AttentionInputs inputs{
      .queries = itself ? ops::slice(context, first, {.dim = -1, .first = 0, .count = width}) : first,
      .keys = ops::slice(context, pair, {.dim = -1, .first = at, .count = width}),
      .values = ops::slice(context, pair, {.dim = -1, .first = at + width, .count = width}),
      .bias =
          relative_ ? ops::relative_bias(context, context.use(*relative_), {x.shape()[1], pair.shape()[1]}) : Value()};
  using Mask = ops::CrossAttentionOptions::Mask;
  return ops::cross_attention(context, inputs,
                              {.heads = heads_,
                               .dropout = options_.dropout,
                               .key_lengths = keys.lengths,
                               .mask = causal ? Mask::causal : Mask::none});
}

Value MultiHeadAttention::apply(Context& context, const Value& x, const Keys& keys) {
  require(x.shape().dims() == 3 && (over_ == Over::itself) == !keys.memory.tensor(),
          "MultiHeadAttention: the input is {}, wanted (B, T, C), with a memory if and only if it was made for one",
          x.shape());
  make(context, x, keys);
  return projected(context, attend(context, x, keys), {address(output_weight_), address(output_bias_)});
}

void MultiHeadAttention::parts(Visitor& visit) {
  if (!output_weight_) return;
  const bool itself = over_ == Over::itself;
  visit(itself ? "in_weight" : "query_weight", *first_weight_);
  if (first_bias_) visit(itself ? "in_bias" : "query_bias", *first_bias_);
  if (memory_weight_) visit("memory_weight", *memory_weight_);
  if (memory_bias_) visit("memory_bias", *memory_bias_);
  visit("output_weight", *output_weight_);
  if (output_bias_) visit("output_bias", *output_bias_);
  if (relative_) visit("relative", *relative_);
}

EncoderBlock::EncoderBlock(const TransformerOptions& options)
    : options_(options),
      attention_(options.heads, MultiHeadAttention::Over::itself,
                 attention_options(options, MultiHeadAttentionOptions::Mask::none)) {}

Value EncoderBlock::apply(Context& context, const Value& x, const Tensor& lengths) {
  const Sum sum{context, options_};
  const Value attended =
      sum(x, norm1_, [&](const Value& in) { return attention_.apply(context, in, {.lengths = lengths}); });
  return sum(attended, norm2_, [&](const Value& in) { return FeedForward{options_, linear1_, linear2_}(context, in); });
}

void EncoderBlock::parts(Visitor& visit) {
  visit("attention", attention_);
  visit("norm1", norm1_);
  if (linear1_) visit("linear1", *linear1_);
  if (linear2_) visit("linear2", *linear2_);
  visit("norm2", norm2_);
}

CrossBlock::CrossBlock(const TransformerOptions& options)
    : options_(options),
      attention_(options.heads, MultiHeadAttention::Over::itself,
                 attention_options(options, MultiHeadAttentionOptions::Mask::causal)),
      cross_(options.heads, MultiHeadAttention::Over::memory, {.dropout = options.dropout}) {}

Value CrossBlock::forward(Context&, const Value&) {
  fail(ExitCode::failure, "a CrossBlock looks at a memory: call apply(context, x, {{.memory = ...}})");
}

Value CrossBlock::apply(Context& context, const Value& x, const MultiHeadAttention::Keys& memory) {
  const Sum sum{context, options_};
  const Value own = sum(x, norm1_, [&](const Value& in) { return attention_.apply(context, in, {}); });
  const Value crossed = sum(own, norm2_, [&](const Value& in) { return cross_.apply(context, in, memory); });
  return sum(crossed, norm3_, [&](const Value& in) { return FeedForward{options_, linear1_, linear2_}(context, in); });
}

void CrossBlock::parts(Visitor& visit) {
  visit("attention", attention_);
  visit("norm1", norm1_);
  visit("cross", cross_);
  visit("norm2", norm2_);
  if (linear1_) visit("linear1", *linear1_);
  if (linear2_) visit("linear2", *linear2_);
  visit("norm3", norm3_);
}

TransformerEncoder::TransformerEncoder(const TransformerOptions& options) {
  for (std::int64_t k = 0; k < options.layers; ++k) blocks_.emplace_back(options);
  if (options.norms == TransformerOptions::Norms::before) norm_.emplace();
}

Value TransformerEncoder::apply(Context& context, const Value& x, const Tensor& lengths) {
  Value y = x;
  for (EncoderBlock& block : blocks_) y = block.apply(context, y, lengths);
  return norm_ ? norm_->forward(context, y) : y;
}

void TransformerEncoder::parts(Visitor& visit) {
  for (std::size_t k = 0; k < blocks_.size(); ++k) visit(std::to_string(k), blocks_[k]);
  if (norm_) visit("norm", *norm_);
}

Transformer::Transformer(const TransformerOptions& options) : encoder_(options) {
  for (std::int64_t k = 0; k < options.layers; ++k) decoder_.emplace_back(options);
  if (options.norms == TransformerOptions::Norms::before) norm_.emplace();
}

Value Transformer::apply(Context& context, const Sequences& sequences) {
  const Value memory = encoder_.apply(context, sequences.source, sequences.source_lengths);
  Value y = sequences.target;
  for (CrossBlock& block : decoder_)
    y = block.apply(context, y, {.memory = memory, .lengths = sequences.source_lengths});
  return norm_ ? norm_->forward(context, y) : y;
}

void Transformer::parts(Visitor& visit) {
  visit("encoder", encoder_);
  for (std::size_t k = 0; k < decoder_.size(); ++k) visit("decoder." + std::to_string(k), decoder_[k]);
  if (norm_) visit("decoder.norm", *norm_);
}

}  // namespace trireme
