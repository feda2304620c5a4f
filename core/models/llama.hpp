// Llama-style decoder with the names of its Hugging Face form, but queries, keys and values in one product (qkv_proj:
// their rows one after the other) and likewise gate and up (gate_up_proj).
#pragma once

#include <optional>

#include "core/models/language_model.hpp"

namespace trireme {

/// Names: input_layernorm, self_attn.qkv_proj, self_attn.o_proj, post_attention_layernorm, mlp.gate_up_proj,
/// mlp.down_proj.
class LlamaBlock : public DecoderBlock {
 public:
  LlamaBlock(const LlamaConfig& config, const BlockOptions& options);
  void parts(Visitor& visit) override;

 protected:
  Value attention(Context& context, const Value& normed, const BlockPass& pass) override;
  Value mlp(Context& context, const Value& normed) override;
  std::vector<Module*> attention_parts() override { return {&qkv_proj_, &o_proj_}; }

 private:
  double rope_base_;
  Projection qkv_proj_, o_proj_, gate_up_proj_, down_proj_;
};

class Llama : public LanguageModel {
 public:
  explicit Llama(const LlamaConfig& config, const LanguageModelOptions& options = {});
  std::int64_t vocabulary() const override { return sizes_.vocabulary; }
  std::int64_t context_length() const override { return sizes_.context; }
  Value head(Context& context) override { return context.use(lm_head_ ? *lm_head_ : embed_tokens_); }
  void parts(Visitor& visit) override;

 protected:
  Value states(Context& context, const BlockPass& pass) override;
  AttentionSize attention_size() const override;
  std::int64_t multiplied_weights() const override;

 private:
  LlamaConfig sizes_;
  double dropout_;
  Parameter embed_tokens_;
  std::vector<std::unique_ptr<LlamaBlock>> blocks_;
  Norm norm_;
  std::optional<Parameter> lm_head_;
};

}  // namespace trireme
