// Rows of the gradient check for the ops of indexing.hpp and the functions with numbers of their own; refusals.
#include <gtest/gtest.h>

#include "core/ops/activation.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/indexing.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

/// A constant on the context's device.
template <class T>
Tensor constant(Context& context, const std::vector<T>& values, const Shape& shape) {
  if (context.on_meta()) return Tensor::empty(shape, dtype_of<T>, Device::meta());
  return Tensor::from(values, shape, context.device());
}

using Unary = Value (*)(Context&, const Value&);

GradientCase row(const std::string& op, const std::string& variant, Shape shape, Unary function) {
  return {.op = op, .variant = variant, .shapes = {shape}, .function = [function](Context& c, const Inputs& x) {
            return function(c, x[0]);
          }};
}

GradientCase positive(GradientCase one) {
  one.low = 0.3;
  return one;
}

const GradientCases indexing_numbers({
    row("leaky_relu", "", {3, 7}, [](Context& c, const Value& x) { return ops::leaky_relu(c, x, 0.2); }),
    row("softplus", "", {3, 7}, [](Context& c, const Value& x) { return ops::softplus(c, x); }),
    positive(row("power", "", {3, 7}, [](Context& c, const Value& x) { return ops::power(c, x, 1.7); })),
    row("power", "whole", {3, 7}, [](Context& c, const Value& x) { return ops::power(c, x, 3); }),
    row("power", "none", {3, 7}, [](Context& c, const Value& x) { return ops::power(c, x, 0); }),
    row("clamp", "", {3, 17}, [](Context& c, const Value& x) { return ops::clamp(c, x, -0.8, 1.1); }),
});

const GradientCases choices({
    {.op = "where",
     .variant = "",
     .shapes = {{2, 5}, {2, 5}},
     .function =
         [](Context& c, const Inputs& x) {
           const Tensor condition = constant<std::uint8_t>(c, {1, 0, 0, 2, 1, 0, 0, 1, 1, 0}, {2, 5});
           return ops::where(c, condition, {x[0], x[1]});
         }},
    row("gather", "", {4, 2, 3},
        [](Context& c, const Value& x) {
          return ops::gather(c, x, constant<std::int32_t>(c, {3, 0, 3, 1, 3}, {5}));
        }),
    row("take_along", "", {2, 4},
        [](Context& c, const Value& x) {
          return ops::take_along(c, x, constant<std::int32_t>(c, {3, 0, 3, 1, 1, 2}, {2, 3}));
        }),
    row("scatter_along", "", {2, 3},
        [](Context& c, const Value& x) {
          return ops::scatter_along(c, x, constant<std::int32_t>(c, {3, 0, 3, 1, 1, 2}, {2, 3}), 5);
        }),
    row("top_k", "", {3, 9}, [](Context& c, const Value& x) { return ops::top_k(c, x, 4).values; }),
    row("max_along", "", {2, 3, 9}, [](Context& c, const Value& x) { return ops::max_along(c, x); }),
    row("min_along", "", {2, 9}, [](Context& c, const Value& x) { return ops::min_along(c, x); }),
    row("cumulative_sum", "", {2, 7}, [](Context& c, const Value& x) { return ops::cumulative_sum(c, x); }),
});

/// More than one run a row; too many elements for differences in 16 bits.
GradientCase long_sum() {
  GradientCase out =
      row("cumulative_sum", "runs", {1, 300}, [](Context& c, const Value& x) { return ops::cumulative_sum(c, x); });
  out.half_tolerance = 0;
  return out;
}
const GradientCases long_sums({long_sum()});

class Indexing : public testing::Test {
 protected:
  Stream stream;
  Context context{stream, system_allocator(Device::cpu())};
};

TEST_F(Indexing, ArgminIsTheFirstSmallestOfEachRow) {
  const Tensor x = Tensor::from(std::vector<float>{3, 1, 1, NAN, 2, -4}, {2, 3});
  EXPECT_EQ(ops::argmin(context, x).to_vector<std::int32_t>(), (std::vector<std::int32_t>{1, 2}));
}

TEST_F(Indexing, AnIndexThatDoesNotExistIsNamed) {
  const Tensor x = Tensor::zeros({2, 3}, DType::f32);
  const Tensor bad = Tensor::from(std::vector<std::int32_t>{0, 1, 3, 0}, {2, 2});
  try {
    ops::take_along(context, x, bad);
    FAIL() << "an index of 3 among 3 was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("index number 2 of (2, 2) is 3"), std::string::npos) << error.what();
  }
  EXPECT_THROW(ops::scatter_along(context, Tensor::zeros({2, 2}, DType::f32), bad, 3), Error);
  EXPECT_THROW(ops::gather(context, x, Tensor::from(std::vector<std::int32_t>{-1}, {1})), Error);
  EXPECT_THROW(ops::top_k(context, x, 4), Error);
}

}  // namespace
}  // namespace trireme
