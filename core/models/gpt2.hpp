// GPT-2 with the names and shapes of its Hugging Face form: weights of dense layers are (inputs, outputs) there.
#pragma once

#include "core/models/language_model.hpp"

namespace trireme {

/// Names: ln_1, attn.c_attn, attn.c_proj, ln_2, mlp.c_fc, mlp.c_proj.
class Gpt2Block : public DecoderBlock {
 public:
  Gpt2Block(const Gpt2Config& config, const BlockOptions& options);
  void parts(Visitor& visit) override;

 protected:
  Value attention(Context& context, const Value& normed, const BlockPass& pass) override;
  Value mlp(Context& context, const Value& normed) override;
  std::vector<Module*> attention_parts() override { return {&c_attn_, &attn_c_proj_}; }

 private:
  Projection c_attn_, attn_c_proj_, c_fc_, mlp_c_proj_;
};

class Gpt2 : public LanguageModel {
 public:
  explicit Gpt2(const Gpt2Config& config, Recompute recompute = Recompute::none);
  std::int64_t vocabulary() const override { return sizes_.vocabulary; }
  std::int64_t context_length() const override { return sizes_.context; }
  Value head(Context& context) override { return context.use(wte_); }
  void parts(Visitor& visit) override;

 protected:
  Value states(Context& context, const BlockPass& pass) override;
  AttentionSize attention_size() const override;
  std::int64_t multiplied_weights() const override;

 private:
  Gpt2Config sizes_;
  Parameter wte_, wpe_;
  std::vector<std::unique_ptr<Gpt2Block>> blocks_;
  Norm ln_f_;
};

}  // namespace trireme
