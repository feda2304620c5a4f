// Language models: recomputation changes no bit, cached decoding says what a full pass says, names and counts are those
// of the published models, sizes that do not fit are refused.
#include <gtest/gtest.h>

#include <cmath>

#include "core/models/generate.hpp"
#include "core/nn/arena.hpp"
#include "core/ops/linear_cross_entropy.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {
namespace {

const Gpt2Config small_gpt{.vocabulary = 61, .context = 24, .width = 24, .layers = 3, .heads = 3, .inner = 40};
const LlamaConfig small_llama{
    .vocabulary = 61, .context = 24, .width = 24, .layers = 3, .heads = 4, .kv_heads = 2, .head_size = 6, .inner = 36};

class Models : public testing::TestWithParam<ModelConfig> {};

/// A model with its memory.
struct BuiltModel {
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  std::unique_ptr<LanguageModel> model;
  ArenaLayout layout;
  Planes planes;

  explicit BuiltModel(const ModelConfig& config, const LanguageModelOptions& options = {}, DType dtype = DType::f32)
      : model(make_language_model(config, options)) {
    layout = plan_arena(*model, {.dtype = dtype}, [&](Context& c) {
      model->hidden(c, {.ids = Tensor::empty({2, 8}, DType::i32, Device::meta())});
      model->head(c);
    });
    planes = allocate_planes(layout, Device::cpu(), memory);
    materialize(*model, layout, planes, 5);
  }
};

Tensor some_ids(std::int64_t rows, std::int64_t tokens) {
  std::vector<std::int32_t> ids;
  for (std::int64_t k = 0; k < rows * tokens; ++k) ids.push_back(static_cast<std::int32_t>((k * 7 + k * k) % 61));
  return Tensor::from(ids, {rows, tokens});
}

struct Pass {
  double loss = 0;
  std::vector<double> gradients;
};

Pass train_once(const ModelConfig& config, const LanguageModelOptions& options) {
  BuiltModel built(config, options, DType::f64);
  PlaneGradients store(built.layout, built.planes.grad);
  Tape tape(store);
  const StepState state{.step = 2, .random_seed = 11};
  store.begin();
  built.context.begin_training({.tape = &tape, .state = &state});
  const Value hidden = built.model->hidden(built.context, {.ids = some_ids(3, 10)});
  const Value flat = ops::reshape(built.context, hidden, {30, hidden.shape()[2]});
  const auto result = ops::linear_cross_entropy(built.context, {flat, built.model->head(built.context)},
                                                some_ids(1, 30).reshape({30}), {});
  Pass out{.loss = result.loss.tensor().item(), .gradients = {}};
  tape.backward(built.context, result.loss, 1);
  store.finish();
  out.gradients = built.planes.grad.to_vector<double>();
  return out;
}

TEST_P(Models, RecomputationChangesNoBit) {
  const Pass plain = train_once(GetParam(), {.dropout = 0.1});
  EXPECT_NEAR(plain.loss / 30, std::log(61), 0.5);
  for (const Recompute how : {Recompute::attention, Recompute::block}) {
    const Pass again = train_once(GetParam(), {.dropout = 0.1, .recompute = how});
    EXPECT_EQ(plain.loss, again.loss);
    EXPECT_EQ(plain.gradients, again.gradients);
  }
}

TEST_P(Models, GradientsAreThoseOfTheLoss) {
  // One direction through all parameters: the slope of the loss along it is the product with the gradient.
  BuiltModel built(GetParam(), {}, DType::f64);
  const auto loss_at = [&](double step) {
    const auto span = built.planes.param.span<double>();
    for (std::size_t k = 0; k < span.size(); ++k) span[k] += step * std::sin(static_cast<double>(k));
    built.planes.param.buffer()->bump_version();
    built.context.begin_eval();
    const Value hidden = built.model->hidden(built.context, {.ids = some_ids(3, 10)});
    const auto result = ops::linear_cross_entropy(
        built.context, {ops::reshape(built.context, hidden, {30, hidden.shape()[2]}), built.model->head(built.context)},
        some_ids(1, 30).reshape({30}), {});
    for (std::size_t k = 0; k < span.size(); ++k) span[k] -= step * std::sin(static_cast<double>(k));
    return result.loss.tensor().item();
  };
  const std::vector<double> gradient = train_once(GetParam(), {}).gradients;
  double expected = 0;
  for (std::size_t k = 0; k < gradient.size(); ++k) expected += gradient[k] * std::sin(static_cast<double>(k));
  const double h = 1e-6;
  EXPECT_NEAR((loss_at(h) - loss_at(-h)) / (2 * h), expected, 1e-5 * std::abs(expected) + 1e-6);
}

TEST_P(Models, CachedDecodingSaysWhatAFullPassSays) {
  BuiltModel built(GetParam());
  built.context.begin_eval();
  const Tensor ids = some_ids(2, 12);
  const auto all = built.model->forward(built.context, ids).tensor().to_vector<float>();
  DecodingState state = built.model->begin_decoding(built.context, 2, 16);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    std::vector<std::int32_t> out;
    for (const std::int64_t row : {0, 1})
      for (std::int64_t t = 0; t < count; ++t)
        out.push_back(ids.to_vector<std::int32_t>()[static_cast<std::size_t>(row * 12 + first + t)]);
    return Tensor::from(out, {2, count});
  };
  const auto expect = [&](const Tensor& logits, std::int64_t position) {
    const auto found = logits.to_vector<float>();
    for (std::size_t k = 0; k < found.size(); ++k) {
      const std::size_t row = k / 61, at = (row * 12 + static_cast<std::size_t>(position)) * 61 + k % 61;
      ASSERT_NEAR(found[k], all[at], 2e-6) << "row " << row << ", position " << position;
    }
  };
  const std::vector<std::int32_t> five{5, 5}, one{1, 1};
  expect(built.model->decode(built.context, part(0, 5), five, state), 4);
  for (std::int64_t t = 5; t < 12; ++t) expect(built.model->decode(built.context, part(t, 1), one, state), t);
}

TEST_P(Models, GreedyTextIsTheSameWithAndWithoutCacheAndInBatches) {
  BuiltModel built(GetParam());
  const std::vector<std::vector<std::int32_t>> prompts{{3, 9, 27}, {1}, {60, 2, 2, 2, 8, 11, 40}};
  GenerateOptions options{.sampling = {.temperature = 0}, .new_tokens = 14};
  const auto cached = generate(*built.model, built.context, prompts, options);
  options.cache = GenerateOptions::Cache::off;
  EXPECT_EQ(cached, generate(*built.model, built.context, prompts, options));
  options.cache = GenerateOptions::Cache::on;
  for (std::size_t k = 0; k < prompts.size(); ++k)
    EXPECT_EQ(cached[k], generate(*built.model, built.context, {prompts[k]}, options)[0]);
  EXPECT_EQ(cached[1].size(), 14u);
  // A row that ends early does not disturb the others, and the stop token is not part of the text.
  options.stops = {cached[0][4]};
  const auto stopped = generate(*built.model, built.context, prompts, options);
  for (std::size_t k = 0; k < prompts.size(); ++k) {
    auto expected = cached[k];
    expected.erase(std::find(expected.begin(), expected.end(), options.stops[0]), expected.end());
    EXPECT_EQ(stopped[k], expected) << k;
  }
}

TEST_P(Models, TextEndsWhereTheContextIsFull) {
  BuiltModel built(GetParam());
  const std::vector<std::vector<std::int32_t>> prompts{std::vector<std::int32_t>(20, 4), {5}};
  const auto out = generate(*built.model, built.context, prompts, {.new_tokens = 1000});
  EXPECT_EQ(out[0].size(), 4u);
  EXPECT_EQ(out[1].size(), 23u);
  const std::vector<std::int32_t> full(24, 4);
  EXPECT_THROW(generate(*built.model, built.context, {full}, {}), Error);
  EXPECT_THROW(generate(*built.model, built.context, {{}}, {}), Error);
  EXPECT_THROW(generate(*built.model, built.context, {{61}}, {}), Error);
  EXPECT_THROW(built.model->hidden(built.context, {.ids = some_ids(1, 25)}), Error);
}

INSTANTIATE_TEST_SUITE_P(Forms, Models, testing::Values(ModelConfig(small_gpt), ModelConfig(small_llama)),
                         [](const auto& one) { return one.param.index() == 0 ? "gpt2" : "llama"; });

TEST(ModelNames, AreThoseOfThePublishedForm) {
  BuiltModel gpt{ModelConfig(small_gpt)};
  std::vector<std::string> names;
  for (const ArenaEntry& entry : gpt.layout.entries()) names.push_back(entry.name);
  EXPECT_EQ(names[0], "transformer.wte.weight");
  EXPECT_EQ(names[4], "transformer.h.0.attn.c_attn.weight");
  EXPECT_EQ(gpt.layout.entries()[4].parameter->shape(), (Shape{24, 72}));
  EXPECT_EQ(names.back(), "transformer.ln_f.bias");
  BuiltModel llama{ModelConfig(small_llama)};
  EXPECT_EQ(llama.layout.entries()[2].name, "model.layers.0.self_attn.qkv_proj.weight");
  EXPECT_EQ(llama.layout.entries()[2].parameter->shape(), (Shape{48, 24}));
  EXPECT_EQ(llama.layout.entries().back().name, "lm_head.weight");
}

TEST(ModelNames, ThePublishedSizeHasThePublishedCount) {
  const auto model = make_language_model(Gpt2Config{});
  const ArenaLayout layout = plan_arena(*model, {}, [&](Context& c) {
    model->hidden(c, {.ids = Tensor::empty({1, 8}, DType::i32, Device::meta())});
  });
  EXPECT_EQ(layout.parameters(), 124439808);
  EXPECT_DOUBLE_EQ(model->training_flops_per_token(64),
                   6.0 * (12 * 12 * 768 * 768 + 50257 * 768) + 12.0 * 12 * 768 * 64);
}

TEST(ModelSizes, ThatDoNotFitAreRefused) {
  EXPECT_THROW(make_language_model(Gpt2Config{.width = 100, .heads = 3}), Error);
  EXPECT_THROW(make_language_model(LlamaConfig{.heads = 4, .kv_heads = 3}), Error);
  EXPECT_THROW(make_language_model(LlamaConfig{.head_size = 5}), Error);
  EXPECT_THROW(make_language_model(Gpt2Config{.layers = 0}), Error);
}

std::vector<double> frequencies(const SamplingOptions& options, const std::vector<std::int32_t>& before = {}) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  std::vector<double> out(4, 0.0);
  for (int k = 0; k < 10000; ++k)
    out[static_cast<std::size_t>(choose_token(logits, before, options, (k + 0.5) / 10000))] += 1e-4;
  return out;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted) {
  for (std::size_t k = 0; k < wanted.size(); ++k) EXPECT_NEAR(found[k], wanted[k], 2e-4) << k;
}

TEST(ChooseToken, DrawsWithTheProbabilitiesOfTheOptions) {
  expect_near(frequencies({}), {0.5, 0.3, 0.15, 0.05});
  expect_near(frequencies({.temperature = 0}), {1, 0, 0, 0});
  expect_near(frequencies({.temperature = 0.5}), {0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365});
  expect_near(frequencies({.top_k = 2}), {0.625, 0.375, 0, 0});
  expect_near(frequencies({.top_p = 0.7}), {0.625, 0.375, 0, 0});
  expect_near(frequencies({.top_p = 0.9}), {0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0});
  // log 0.5 is negative: times 2 it is log 0.25, once however often the token occurred.
  expect_near(frequencies({.repetition_penalty = 2}, {0, 0, 0}), {0.25 / 0.75, 0.3 / 0.75, 0.15 / 0.75, 0.05 / 0.75});
  const std::vector<float> broken{NAN, NAN};
  EXPECT_THROW(choose_token(broken, {}, {}, 0.5), Error);
  EXPECT_THROW(SamplingOptions{.top_p = 0}.check(), Error);
  EXPECT_THROW(SamplingOptions{.temperature = -1}.check(), Error);
}

}  // namespace
}  // namespace trireme
