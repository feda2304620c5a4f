#include "core/models/llama.hpp"

#include "core/ops/dropout.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/gated.hpp"
#include "core/ops/rotary.hpp"

namespace trireme {
namespace {

constexpr double llama_deviation = 0.02;

BlockOptions block_options(const LlamaConfig& config, const LanguageModelOptions& options, std::int64_t layer) {
  return {.norm = Norm::Kind::rms,
          .width = config.width,
          .epsilon = config.epsilon,
          .dropout = options.dropout,
          .recompute = options.recompute,
          .attention = {.heads = config.heads,
                        .kv_heads = config.kv_heads,
                        .head_size = config.head_size,
                        .window = config.window},
          .layer = static_cast<std::size_t>(layer)};
}

std::int64_t packed_width(const LlamaConfig& config) { return (config.heads + 2 * config.kv_heads) * config.head_size; }

}  // namespace

LlamaBlock::LlamaBlock(const LlamaConfig& config, const BlockOptions& options)
    : DecoderBlock(options),
      rope_base_(config.rope_base),
      qkv_proj_({config.width, packed_width(config)}, {.deviation = llama_deviation}),
      o_proj_({config.heads * config.head_size, config.width}, {.deviation = llama_deviation}),
      gate_up_proj_({config.width, 2 * config.inner}, {.deviation = llama_deviation}),
      down_proj_({config.inner, config.width}, {.deviation = llama_deviation}) {}

Value LlamaBlock::attention(Context& context, const Value& normed, const BlockPass& pass) {
  const ops::AttentionOptions& sizes = options().attention;
  const Value qkv = ops::rotary(context, qkv_proj_.forward(context, normed),
                                {.heads = sizes.heads,
                                 .kv_heads = sizes.kv_heads,
                                 .head_size = sizes.head_size,
                                 .base = rope_base_,
                                 .position_of = pass.positions,
                                 .positions = pass.decoding ? pass.decoding->capacity : 0});
  return o_proj_.forward(context, attend(context, qkv, pass));
}

Value LlamaBlock::mlp(Context& context, const Value& normed) {
  return down_proj_.forward(context, ops::gated_silu(context, gate_up_proj_.forward(context, normed)));
}

void LlamaBlock::parts(Visitor& visit) {
  visit("input_layernorm", first_norm_);
  visit("self_attn.qkv_proj", qkv_proj_);
  visit("self_attn.o_proj", o_proj_);
  visit("post_attention_layernorm", second_norm_);
  visit("mlp.gate_up_proj", gate_up_proj_);
  visit("mlp.down_proj", down_proj_);
}

Llama::Llama(const LlamaConfig& config, const LanguageModelOptions& options)
    : LanguageModel(config),
      sizes_(config),
      dropout_(options.dropout),
      embed_tokens_({config.vocabulary, config.width}, Initializer::normal(llama_deviation)),
      norm_(Norm::Kind::rms, config.width, config.epsilon) {
  for (std::int64_t k = 0; k < config.layers; ++k)
    blocks_.push_back(std::make_unique<LlamaBlock>(config, block_options(config, options, k)));
  if (config.head == LlamaConfig::Head::own)
    lm_head_.emplace(Shape{config.vocabulary, config.width}, Initializer::normal(llama_deviation));
}

Value Llama::states(Context& context, const BlockPass& pass) {
  context.set_label("embedding");
  const Value first = ops::embedding(context, pass.input.ids, {.table = context.use(embed_tokens_)}, {});
  DecoderBlock::Stream x{ops::dropout(context, first, {.probability = dropout_}), {}};
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    context.set_label(fmt::format("block {}", k));
    x = blocks_[k]->apply(context, x, pass);
  }
  context.set_label("head");
  return norm_.add(context, x.sum, x.branch).normed;
}

void Llama::parts(Visitor& visit) {
  visit("model.embed_tokens.weight", embed_tokens_);
  for (std::size_t k = 0; k < blocks_.size(); ++k) visit(fmt::format("model.layers.{}", k), *blocks_[k]);
  visit("model.norm", norm_);
  if (lm_head_) visit("lm_head.weight", *lm_head_);
}

LanguageModel::AttentionSize Llama::attention_size() const {
  return {sizes_.layers, sizes_.heads, sizes_.kv_heads, sizes_.head_size};
}

std::int64_t Llama::multiplied_weights() const {
  const std::int64_t block =
      packed_width(sizes_) + sizes_.heads * sizes_.head_size + 3 * sizes_.inner;  // rows of width numbers
  return (sizes_.layers * block + sizes_.vocabulary) * sizes_.width;
}

}  // namespace trireme
