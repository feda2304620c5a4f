#include "core/models/gpt2.hpp"

#include <cmath>

#include "core/ops/dropout.hpp"
#include "core/ops/embedding.hpp"

namespace trireme {
namespace {

constexpr double deviation = 0.02;

ProjectionOptions dense(double of) {
  return {.form = ops::WeightForm::inputs_outputs, .bias = Bias::yes, .deviation = of};
}

/// Products that end in the residual stream begin smaller, by the number of them (Radford et al. 2019, section 2.3).
ProjectionOptions into_residual(const Gpt2Config& config) {
  return dense(deviation / std::sqrt(2.0 * static_cast<double>(config.layers)));
}

BlockOptions block_options(const Gpt2Config& config, Recompute recompute, std::int64_t layer) {
  return {.norm = Norm::Kind::layer,
          .width = config.width,
          .epsilon = config.epsilon,
          .dropout = config.dropout,
          .recompute = recompute,
          .attention = {.heads = config.heads, .kv_heads = config.heads, .head_size = config.width / config.heads},
          .layer = static_cast<std::size_t>(layer)};
}

}  // namespace

Gpt2Block::Gpt2Block(const Gpt2Config& config, const BlockOptions& options)
    : DecoderBlock(options),
      c_attn_({config.width, 3 * config.width}, dense(deviation)),
      attn_c_proj_({config.width, config.width}, into_residual(config)),
      c_fc_({config.width, config.inner}, dense(deviation)),
      mlp_c_proj_({config.inner, config.width}, into_residual(config)) {}

Value Gpt2Block::attention(Context& context, const Value& normed, const BlockPass& pass) {
  return attn_c_proj_.forward(context, attend(context, c_attn_.forward(context, normed), pass));
}

Value Gpt2Block::mlp(Context& context, const Value& normed) {
  return mlp_c_proj_.forward(context, c_fc_.apply(context, normed, ops::Activation::gelu_tanh_fit));
}

void Gpt2Block::parts(Visitor& visit) {
  visit("ln_1", first_norm_);
  visit("attn.c_attn", c_attn_);
  visit("attn.c_proj", attn_c_proj_);
  visit("ln_2", second_norm_);
  visit("mlp.c_fc", c_fc_);
  visit("mlp.c_proj", mlp_c_proj_);
}

Gpt2::Gpt2(const Gpt2Config& config, Recompute recompute)
    : LanguageModel(config),
      sizes_(config),
      wte_({config.vocabulary, config.width}, Initializer::normal(deviation)),
      wpe_({config.context, config.width}, Initializer::normal(deviation)),
      ln_f_(Norm::Kind::layer, config.width, config.epsilon) {
  for (std::int64_t k = 0; k < config.layers; ++k)
    blocks_.push_back(std::make_unique<Gpt2Block>(config, block_options(config, recompute, k)));
}

Value Gpt2::states(Context& context, const BlockPass& pass) {
  context.set_label("embedding");
  const Value first =
      ops::embedding(context, pass.input.ids, {.table = context.use(wte_), .positions = context.use(wpe_)},
                     {.position_of = pass.positions});
  DecoderBlock::Stream x{ops::dropout(context, first, {.probability = sizes_.dropout}), {}};
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    context.set_label(fmt::format("block {}", k));
    x = blocks_[k]->apply(context, x, pass);
  }
  context.set_label("head");
  return ln_f_.add(context, x.sum, x.branch).normed;
}

void Gpt2::parts(Visitor& visit) {
  visit("transformer.wte.weight", wte_);
  visit("transformer.wpe.weight", wpe_);
  for (std::size_t k = 0; k < blocks_.size(); ++k) visit(fmt::format("transformer.h.{}", k), *blocks_[k]);
  visit("transformer.ln_f", ln_f_);
}

LanguageModel::AttentionSize Gpt2::attention_size() const {
  return {sizes_.layers, sizes_.heads, sizes_.heads, sizes_.width / sizes_.heads};
}

std::int64_t Gpt2::multiplied_weights() const {
  return sizes_.layers * sizes_.width * (4 * sizes_.width + 2 * sizes_.inner) + sizes_.vocabulary * sizes_.width;
}

}  // namespace trireme
