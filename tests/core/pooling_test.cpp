// Pooling: gradients, values against hand-written windows, overlaps and padding, messages.
#include "core/ops/pooling.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

using ops::Pool2dOptions;

GradientCase pool(const char* op, const char* variant, const Shape& shape, const Pool2dOptions& options) {
  const bool largest = std::string(op) == "max_pool2d";
  return {.op = op, .variant = variant, .shapes = {shape}, .function = [=](Context& c, const Inputs& x) {
            return largest ? ops::max_pool2d(c, x[0], options) : ops::average_pool2d(c, x[0], options);
          }};
}

std::vector<GradientCase> pooling_cases() {
  std::vector<GradientCase> out;
  for (const char* op : {"max_pool2d", "average_pool2d"}) {
    out.push_back(pool(op, "", {2, 4, 6, 3}, {}));
    out.push_back(pool(op, "ragged", {2, 5, 7, 19}, {}));
    out.push_back(pool(op, "overlapping", {2, 5, 6, 3}, {.window = {3, 3}, .stride = {1, 2}}));
    out.push_back(pool(op, "padded", {1, 5, 5, 2}, {.window = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}));
    out.push_back(pool(op, "padded_apart", {1, 5, 6, 2}, {.window = {2, 3}, .stride = {2, 3}, .padding = {1, 2}}));
    out.push_back(pool(op, "gaps", {1, 7, 8, 2}, {.window = {2, 2}, .stride = {3, 3}}));
    out.push_back(pool(op, "one_pixel", {1, 1, 1, 1}, {.window = {1, 1}, .stride = {1, 1}}));
    out.push_back(pool(op, "tall", {1, 6, 2, 4}, {.window = {3, 1}, .stride = {2, 1}}));
  }
  out.push_back(
      pool("average_pool2d", "inside", {2, 5, 5, 2},
           {.window = {3, 3}, .stride = {2, 2}, .padding = {1, 1}, .padding_counts = ops::PaddingCounts::no}));
  out.push_back(pool("max_pool2d", "relu", {2, 4, 6, 3}, {.activation = ops::Activation::relu}));
  out.push_back({.op = "global_average_pool",
                 .variant = "",
                 .shapes = {{3, 4, 5, 6}},
                 .function = [](Context& c, const Inputs& x) { return ops::global_average_pool(c, x[0]); }});
  return out;
}
const GradientCases pooling_rows(pooling_cases());

std::vector<double> values(const std::function<Value(Context&, const Value&)>& op, const Tensor& x) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  return op(context, x).tensor().to_vector<double>();
}

Tensor counting(const Shape& shape) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < shape.elements(); ++i) out.push_back(static_cast<double>(i));
  return Tensor::from(out, shape);
}

TEST(Pooling, ValuesOfWindows) {
  const Tensor x = counting({1, 3, 3, 1});  // 0 1 2 / 3 4 5 / 6 7 8
  const auto largest = [&](const Pool2dOptions& o) {
    return values([&](Context& c, const Value& v) { return ops::max_pool2d(c, v, o); }, x);
  };
  const auto average = [&](const Pool2dOptions& o) {
    return values([&](Context& c, const Value& v) { return ops::average_pool2d(c, v, o); }, x);
  };
  using List = std::vector<double>;
  EXPECT_EQ(largest({}), (List{4}));
  EXPECT_EQ(largest({.stride = {1, 1}}), (List{4, 5, 7, 8}));
  EXPECT_EQ(largest({.padding = {1, 1}}), (List{0, 2, 6, 8}));
  EXPECT_EQ(average({.stride = {1, 1}}), (List{2, 3, 5, 6}));
  EXPECT_EQ(average({.padding = {1, 1}}), (List{0, 0.75, 2.25, 6}));
  EXPECT_EQ(average({.padding = {1, 1}, .padding_counts = ops::PaddingCounts::no}), (List{0, 1.5, 4.5, 6}));
  EXPECT_EQ(values([](Context& c, const Value& v) { return ops::global_average_pool(c, v); }, x), (List{4}));
}

TEST(Pooling, NegativeImagesAndPadding) {
  const Tensor x = Tensor::from(std::vector<double>{-5, -3, -4, -6}, {1, 2, 2, 1});
  const auto op = [](Context& c, const Value& v) {
    return ops::max_pool2d(c, v, {.window = {3, 3}, .stride = {1, 1}, .padding = {1, 1}});
  };
  EXPECT_EQ(values(op, x), (std::vector<double>{-3, -3, -3, -3})) << "padding must never be the largest";
}

TEST(Pooling, NotANumberIsSeen) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t place = 0; place < 4; ++place) {
    std::vector<double> image{1, 2, 3, 4};
    image[place] = nan;
    const auto op = [](Context& c, const Value& v) { return ops::max_pool2d(c, v); };
    EXPECT_TRUE(std::isnan(values(op, Tensor::from(image, {1, 2, 2, 1}))[0])) << place;
  }
}

/// A fused ReLU must give what a ReLU before the pooling gives, values and gradients, whatever the windows.
TEST(Pooling, AFusedReluIsTheSameAsOneBefore) {
  for (const std::int64_t stride : {1, 2}) {
    const Pool2dOptions plain{.stride = {stride, stride}};
    Pool2dOptions fused = plain;
    fused.activation = ops::Activation::relu;
    const GradientCase before{
        .op = "max_pool2d", .variant = "", .shapes = {{3, 5, 6, 21}}, .function = [=](Context& c, const Inputs& x) {
          return ops::max_pool2d(c, ops::relu(c, x[0]), plain);
        }};
    const Computed wanted = compute(before, DType::f32, Contribution::first, 4);
    const Computed found = compute(pool("max_pool2d", "", {3, 5, 6, 21}, fused), DType::f32, Contribution::first, 4);
    EXPECT_EQ(found.output, wanted.output);
    EXPECT_EQ(found.gradients, wanted.gradients);
  }
}

/// Of equal values exactly one gets the gradient: the first.
TEST(Pooling, TiesGoToTheFirst) {
  for (const std::int64_t stride : {1, 2}) {
    const GradientCase row{
        .op = "max_pool2d", .variant = "", .shapes = {{1, 2, 2, 5}}, .function = [=](Context& c, const Inputs& x) {
          c.stream().synchronize();
          for (double& v : x[0].tensor().span<double>()) v = 1;
          return ops::max_pool2d(c, x[0], {.stride = {stride, stride}});
        }};
    const Computed got = compute(row, DType::f64, Contribution::first, 8);
    for (std::size_t i = 0; i < got.gradients[0].size(); ++i)
      EXPECT_EQ(got.gradients[0][i] != 0, i < 5) << "element " << i << ", stride " << stride;
  }
}

TEST(Pooling, WrongShapesAreNamed) {
  const auto of = [](const Shape& shape, const Pool2dOptions& options) -> std::string {
    try {
      values([&](Context& c, const Value& v) { return ops::max_pool2d(c, v, options); },
             Tensor::zeros(shape, DType::f64));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto expect = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect(of({2, 4, 4}, {}), "not (batch, height, width, channels)");
  expect(of({2, 1, 4, 1}, {}), "larger than the input");
  expect(of({2, 4, 4, 1}, {.padding = {2, 0}}), "smaller than the window");
  expect(of({2, 4, 4, 1}, {.stride = {0, 1}}), "must be positive");
  expect(of({2, 40, 40, 1}, {.window = {16, 16}}), "254 positions");
  expect(of({2, 4, 4, 1}, {.activation = ops::Activation::tanh}), "only relu");
}

}  // namespace
}  // namespace trireme
