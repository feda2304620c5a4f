// Attention over another sequence whose scores are too many to hold: some queries at a time give what all of them
// give, masks and lengths included, in memory that does not grow with the product of both lengths.
#include "core/ops/cross_attention.hpp"

#include "core/ops/reduce.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

/// There are no parameters here.
class NoParametersToTrain final : public GradientStore {
 public:
  Destination acquire(Parameter& parameter) override {
    fail(ExitCode::failure, "the parameter {} has no place", parameter.name());
  }
  void ready(Parameter&) override {}
};

/// Outputs and gradients of one pass, and the memory it took.
struct CrossPass {
  std::vector<std::vector<double>> values;
  std::size_t peak = 0;
};

struct CrossShape {
  std::int64_t batch, queries, keys, width;
};

enum class WithBias : std::uint8_t { no, yes };

CrossPass pass_of(const CrossShape& s, const ops::CrossAttentionOptions& options, WithBias with_bias) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  NoParametersToTrain store;
  Tape tape(store);
  const StepState state{.random_seed = 3};
  context.begin_training({.tape = &tape, .state = &state, .global_rows = s.batch});
  const auto watched = [&](std::int64_t tokens, unsigned seed) {
    return tape.watch(Tensor::from(test::normal_values(s.batch * tokens * s.width, seed), {s.batch, tokens, s.width}));
  };
  const Value queries = watched(s.queries, 1), keys = watched(s.keys, 2), values = watched(s.keys, 3);
  std::vector<Value> inputs{queries, keys, values};
  if (with_bias == WithBias::yes) {
    const Shape shape{options.heads, s.queries, s.keys};
    inputs.push_back(tape.watch(Tensor::from(test::normal_values(shape.elements(), 4), shape)));
  }
  const Value bias = with_bias == WithBias::yes ? inputs.back() : Value();
  const Value y = ops::cross_attention(context, {queries, keys, values, bias}, options);
  CrossPass out;
  out.values.push_back(y.tensor().to_vector<double>());
  tape.backward(context, ops::sum(context, y), 1);
  for (const Value& one : inputs) out.values.push_back(tape.gradient_of(one).to_vector<double>());
  out.peak = memory.peak_bytes();
  return out;
}

TEST(CrossAttention, SomeQueriesAtATimeAreAllOfThem) {
  using Mask = ops::CrossAttentionOptions::Mask;
  const CrossShape shape{2, 7, 9, 6};
  for (const Mask mask : {Mask::none, Mask::causal}) {
    ops::CrossAttentionOptions options{
        .heads = 2, .key_lengths = Tensor::from(std::vector<std::int32_t>{9, 4}, {2}), .mask = mask};
    const CrossPass whole = pass_of(shape, options, WithBias::yes);
    for (const std::int64_t queries : {1, 3}) {
      options.scores_at_once = queries * 2 * shape.keys;
      const CrossPass parts = pass_of(shape, options, WithBias::yes);
      for (std::size_t k = 0; k < whole.values.size(); ++k)
        test::expect_near(parts.values[k], whole.values[k], 1e-12, "value " + std::to_string(k));
    }
  }
}

TEST(CrossAttention, MemoryDoesNotGrowWithTheProductOfBothLengths) {
  const auto peak = [](std::int64_t tokens, std::int64_t at_once) {
    return static_cast<double>(
        pass_of({1, tokens, tokens, 8}, {.heads = 2, .scores_at_once = at_once}, WithBias::no).peak);
  };
  const std::int64_t few = 2 * 64 * 16;
  EXPECT_GT(peak(256, std::int64_t{1} << 20), 10 * peak(64, std::int64_t{1} << 20)) << "all scores are held";
  EXPECT_LT(peak(256, few), 6 * peak(64, few));
  EXPECT_LT(peak(256, few), 0.3 * peak(256, std::int64_t{1} << 20));
}

}  // namespace
}  // namespace trireme
