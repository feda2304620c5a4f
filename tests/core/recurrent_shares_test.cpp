// Steps of recurrent layers that threads share on a CPU against the general way, which f64 takes: however many threads,
// shares of different widths, samples of different lengths, both directions.
#include <gtest/gtest.h>

#include <omp.h>

#include "core/ops/elementwise.hpp"
#include "core/ops/recurrent.hpp"
#include "core/ops/shape_ops.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

using Direction = ops::RecurrentOptions::Direction;

struct SharedCase {
  ops::Cell cell;
  Direction direction;
  std::vector<std::int32_t> lengths;
  std::int64_t batch = 8, hidden = 600;  ///< Each step is worth more than one thread.
};

/// Outputs and last states after 5 times.
GradientCase shared(const SharedCase& of) {
  constexpr std::int64_t time = 5, inputs = 3;
  const std::int64_t batch = of.batch, hidden = of.hidden;
  const std::int64_t rows = (of.cell == ops::Cell::lstm ? 4 : 3) * hidden;
  return {.op = "recurrent",
          .variant = "shared",
          .shapes = {{batch, time, inputs}, {rows, inputs}, {rows}, {rows, hidden}, {rows}, {batch, hidden}},
          .function = [of, batch, hidden](Context& c, const Inputs& x) {
            const Value weight = ops::scale(c, x[3], 0.05);
            const ops::RecurrentInputs in{
                .x = x[0], .weight_ih = x[1], .bias_ih = x[2], .weight_hh = weight, .bias_hh = x[4], .hidden = x[5]};
            ops::RecurrentOptions options{.cell = of.cell, .direction = of.direction};
            if (!of.lengths.empty()) options.lengths = Tensor::from(of.lengths, {batch});
            const ops::RecurrentResult out = ops::recurrent(c, in, options);
            std::vector<Value> all{ops::reshape(c, out.y, {batch, time * hidden}), out.hidden};
            if (out.cell.tensor()) all.push_back(out.cell);
            return ops::concat(c, all, -1);
          }};
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  double largest = 1e-3;
  for (const double v : wanted) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], 2e-5 * largest) << "element " << i;
}

TEST(RecurrentShares, AgreeWithTheGeneralStepsAtAnyNumberOfThreads) {
  const std::vector<std::int32_t> ragged{5, 1, 3, 5, 0, 2, 4, 5};
  const int before = omp_get_max_threads();
  for (const SharedCase& of :
       {SharedCase{ops::Cell::lstm, Direction::forward, ragged},
        SharedCase{ops::Cell::lstm, Direction::backward, ragged}, SharedCase{ops::Cell::lstm, Direction::backward, {}},
        SharedCase{ops::Cell::gru, Direction::backward, ragged},
        SharedCase{ops::Cell::lstm, Direction::forward, {}, 509, 24},
        SharedCase{ops::Cell::gru, Direction::backward, {}, 900, 20}}) {
    const GradientCase row = shared(of);
    const Computed wanted = compute(row, DType::f64, Contribution::second, 3);
    for (const int threads : {1, 2, 3, 5}) {
      SCOPED_TRACE(fmt::format("{} {} {} threads", of.cell == ops::Cell::lstm ? "lstm" : "gru",
                               of.direction == Direction::forward ? "forward" : "backward", threads));
      omp_set_num_threads(threads);
      const Computed found = compute(row, DType::f32, Contribution::second, 3);
      const Computed again = compute(row, DType::f32, Contribution::second, 3);
      expect_near(found.output, wanted.output);
      ASSERT_EQ(found.gradients.size(), wanted.gradients.size());
      for (std::size_t k = 0; k < found.gradients.size(); ++k) expect_near(found.gradients[k], wanted.gradients[k]);
      EXPECT_EQ(found.output, again.output);
      EXPECT_EQ(found.gradients, again.gradients);
    }
    omp_set_num_threads(before);
  }
}

TEST(RecurrentInputs, ABiasOfAnotherTypeIsRefused) {
  Stream stream;
  Context context{stream, system_allocator(Device::cpu())};
  const auto zeros = [](const Shape& shape, DType dtype = DType::f32) { return Value(Tensor::zeros(shape, dtype)); };
  ops::RecurrentInputs in{.x = zeros({1, 2, 3}),
                          .weight_ih = zeros({8, 3}),
                          .bias_ih = zeros({8}, DType::bf16),
                          .weight_hh = zeros({8, 2})};
  EXPECT_EQ(message_of([&] { ops::recurrent(context, in, {}); }),
            "recurrent: a bias is (8) of bf16, wanted (8) of f32");
  in.bias_ih = {};
  in.bias_hh = zeros({8}, DType::f64);
  EXPECT_EQ(message_of([&] { ops::recurrent(context, in, {}); }), "recurrent: a bias is (8) of f64, wanted (8) of f32");
}

}  // namespace
}  // namespace trireme
