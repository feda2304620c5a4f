// Rows of the gradient check for recurrent passes and attention with lengths and biases; their kernels on teams.
#include <gtest/gtest.h>

#include "core/kernels/masked_softmax.hpp"
#include "core/kernels/recurrent.hpp"
#include "core/ops/cross_attention.hpp"
#include "core/ops/recurrent.hpp"
#include "core/ops/shape_ops.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using Direction = ops::RecurrentOptions::Direction;

Tensor lengths_of(Context& context, const std::vector<std::int32_t>& lengths) {
  const Shape shape{static_cast<std::int64_t>(lengths.size())};
  if (context.on_meta()) return Tensor::empty(shape, DType::i32, Device::meta());
  return Tensor::from(lengths, shape, context.device());
}

/// Outputs and last states side by side.
Value everything(Context& c, const ops::RecurrentResult& out) {
  const Shape& s = out.y.shape();
  std::vector<Value> all{ops::reshape(c, out.y, {s[0], s[1] * s[2]}), out.hidden};
  if (out.cell.tensor()) all.push_back(out.cell);
  return ops::concat(c, all, -1);
}

const GradientCases recurrents({
    {.op = "recurrent",
     .variant = "lstm",
     .shapes = {{2, 3, 3}, {8, 3}, {8}, {8, 2}, {2, 2}, {2, 2}},
     .function =
         [](Context& c, const Inputs& x) {
           const ops::RecurrentInputs in{
               .x = x[0], .weight_ih = x[1], .bias_ih = x[2], .weight_hh = x[3], .hidden = x[4], .cell = x[5]};
           return everything(c, ops::recurrent(c, in, {.lengths = lengths_of(c, {3, 1})}));
         },
     .half_tolerance = 12},
    {.op = "recurrent",
     .variant = "gru_backward",
     .shapes = {{2, 3, 3}, {6, 3}, {6}, {6, 2}, {6}, {2, 2}},
     .function =
         [](Context& c, const Inputs& x) {
           const ops::RecurrentInputs in{
               .x = x[0], .weight_ih = x[1], .bias_ih = x[2], .weight_hh = x[3], .bias_hh = x[4], .hidden = x[5]};
           return everything(
               c, ops::recurrent(
                      c, in,
                      {.cell = ops::Cell::gru, .direction = Direction::backward, .lengths = lengths_of(c, {2, 3})}));
         },
     .half_tolerance = 12},
    {.op = "recurrent",
     .variant = "lstm_plain",
     .shapes = {{1, 2, 2}, {4, 2}, {4, 1}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::recurrent(c, {.x = x[0], .weight_ih = x[1], .weight_hh = x[2]},
                                 {.direction = Direction::backward})
               .y;
         },
     .half_tolerance = 12},
});

const GradientCases sequence_attentions({
    {.op = "cross_attention",
     .variant = "lengths_bias",
     .shapes = {{2, 3, 4}, {2, 2, 4}, {2, 2, 4}, {2, 3, 2}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::cross_attention(c, {x[0], x[1], x[2], x[3]}, {.heads = 2, .key_lengths = lengths_of(c, {2, 1})});
         },
     .f32_tolerance = 1e-4,
     .half_tolerance = 12},
    {.op = "cross_attention",
     .variant = "causal_dropout",
     .shapes = {{2, 3, 4}, {2, 3, 4}, {2, 3, 4}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::cross_attention(c, {x[0], x[1], x[2]},
                                       {.heads = 1, .dropout = 0.3, .mask = ops::CrossAttentionOptions::Mask::causal});
         },
     .f32_tolerance = 1e-4,
     .half_tolerance = 12},
    {.op = "cross_attention",
     .variant = "parts_lengths_bias",
     .shapes = {{2, 3, 4}, {2, 2, 4}, {2, 2, 4}, {2, 3, 2}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::cross_attention(c, {x[0], x[1], x[2], x[3]},
                                       {.heads = 2, .key_lengths = lengths_of(c, {2, 1}), .scores_at_once = 8});
         },
     .f32_tolerance = 1e-4,
     .half_tolerance = 12},
    {.op = "cross_attention",
     .variant = "parts_causal_dropout",
     .shapes = {{2, 3, 4}, {2, 4, 4}, {2, 4, 4}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::cross_attention(
               c, {x[0], x[1], x[2]},
               {.heads = 1, .dropout = 0.3, .mask = ops::CrossAttentionOptions::Mask::causal, .scores_at_once = 4});
         },
     .f32_tolerance = 1e-4,
     .half_tolerance = 12},
    {.op = "relative_bias",
     .variant = "",
     .shapes = {{5, 2}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::relative_bias(c, x[0], {3, 6});
         }},
});

class SequenceTeams : public testing::TestWithParam<test::LanesAndWidth> {};

TEST_P(SequenceTeams, AStepOfEitherCellIsThatOfOneLane) {
  const auto [lanes, hidden] = GetParam();
  const std::int64_t batch = 3, time = 2;
  const std::vector<std::int32_t> lengths{2, 1, 2};
  for (const kernels::Cell cell : {kernels::Cell::lstm, kernels::Cell::gru})
    for (const std::uint32_t reverse : {0u, 1u}) {
      const kernels::RecurrentSteps in{time, hidden, lengths.data(), reverse, cell};
      const auto draw = [&](std::int64_t n, unsigned seed) { return test::as<double>(test::normal_values(n, seed)); };
      const auto projected = draw(batch * in.gates() * hidden, 1), recurrent = draw(batch * in.gates() * hidden, 2);
      const auto bias = draw(in.gates() * hidden, 3), h = draw(batch * hidden, 4), c = draw(batch * hidden, 5);
      const auto dy = draw(batch * time * hidden, 6), dh = draw(batch * hidden, 7);
      const auto run = [&](int count) {
        const bool has_cell = cell == kernels::Cell::lstm;
        auto h_after = test::unset<double>(batch * hidden);
        auto c_after = std::vector<double>(h_after.size());
        auto kept = std::vector<double>(static_cast<std::size_t>(batch * 4 * hidden));
        auto y = std::vector<double>(dy.size());
        test::run_rows(count, batch,
                       kernels::RecurrentForward<double>{in, 1, projected.data(), recurrent.data(), bias.data(),
                                                         h.data(), has_cell ? c.data() : nullptr, h_after.data(),
                                                         has_cell ? c_after.data() : nullptr, kept.data(), y.data()});
        auto carry = draw(batch * hidden, 8), dc = draw(batch * hidden, 9);
        auto dinput = std::vector<double>(projected.size());
        auto dstate = test::unset<double>(batch * in.gates() * hidden);
        test::run_rows(
            count, batch,
            kernels::RecurrentGradient<double>{in, 1, kept.data(), h.data(), c.data(), c_after.data(), dy.data(),
                                               dh.data(), carry.data(), dc.data(), dinput.data(), dstate.data()});
        return std::vector<std::vector<double>>{h_after, c_after, y, carry, dc, dinput, dstate};
      };
      EXPECT_EQ(run(lanes), run(1));
    }
}

TEST_P(SequenceTeams, AMaskedSoftmaxSumsToOneOverWhatIsSeen) {
  const auto [lanes, keys] = GetParam();
  const std::int64_t batch = 2, queries = 3;
  const std::vector<std::int32_t> lengths{static_cast<std::int32_t>(keys), static_cast<std::int32_t>(keys / 2)};
  const test::Values x = test::normal_values(batch * queries * keys, 1, 3);
  const auto in = test::as<double>(x);
  for (const std::uint32_t causal : {0u, 1u}) {
    auto y = test::unset<double>(batch * queries * keys);
    test::run_rows(lanes, batch * queries,
                   kernels::MaskedSoftmax<double>{in.data(), y.data(), lengths.data(), queries, queries, keys, causal,
                                                  keys - queries});
    test::Values want(x.size());
    for (std::int64_t row = 0; row < batch * queries; ++row) {
      std::int64_t seen = lengths[static_cast<std::size_t>(row / queries)];
      if (causal != 0) seen = std::min(seen, row % queries + keys - queries + 1);
      double sum = 0;
      for (std::int64_t c = 0; c < seen; ++c) sum += std::exp(x[static_cast<std::size_t>(row * keys + c)]);
      for (std::int64_t c = 0; c < seen; ++c)
        want[static_cast<std::size_t>(row * keys + c)] = std::exp(x[static_cast<std::size_t>(row * keys + c)]) / sum;
    }
    test::expect_near(y, want, 1e-12, "weights");
  }
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, SequenceTeams, test::lanes_and_widths(), test::name_of_case);

}  // namespace
}  // namespace trireme
