// Products of matrices and the dense layer: gradients, every path of the library against the plain text, messages.
#include "core/ops/matmul.hpp"

#include <gtest/gtest.h>

#include <omp.h>

#include "tests/support/devices.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

using ops::Transpose;

GradientCase product(const char* variant, std::vector<Shape> shapes, const ops::MatmulOptions& options = {}) {
  return {.op = "matmul",
          .variant = variant,
          .shapes = std::move(shapes),
          .function = [options](Context& c, const Inputs& x) { return ops::matmul(c, x[0], x[1], options); }};
}

GradientCase dense(const char* variant, std::vector<Shape> shapes, ops::Activation activation,
                   ops::WeightForm form = ops::WeightForm::outputs_inputs) {
  return {.op = "linear",
          .variant = variant,
          .shapes = std::move(shapes),
          .function = [activation, form](Context& c, const Inputs& x) {
            return ops::linear(c, x[0], {.weight = x[1], .bias = x.size() > 2 ? x[2] : Value(), .form = form},
                               activation);
          }};
}

constexpr ops::MatmulOptions left{.transpose_a = Transpose::yes}, right{.transpose_b = Transpose::yes},
    both{.transpose_a = Transpose::yes, .transpose_b = Transpose::yes};

const GradientCases matmul_rows({
    product("", {{5, 7}, {7, 3}}),
    product("left", {{7, 5}, {7, 3}}, left),
    product("right", {{5, 7}, {3, 7}}, right),
    product("both", {{7, 5}, {3, 7}}, both),
    product("one", {{1, 1}, {1, 1}}),
    product("wide", {{2, 3}, {3, 37}}),
    product("batched", {{2, 3, 4, 5}, {2, 3, 5, 6}}),
    product("batched_left", {{3, 5, 4}, {3, 5, 6}}, left),
    product("batched_right", {{3, 4, 5}, {3, 6, 5}}, right),
    product("batched_both", {{3, 5, 4}, {3, 6, 5}}, both),
    product("shared", {{3, 4, 5}, {5, 6}}),
    product("shared_left", {{3, 5, 4}, {5, 6}}, left),
    product("shared_right", {{3, 4, 5}, {6, 5}}, right),
    product("shared_both", {{3, 5, 4}, {6, 5}}, both),
    dense("", {{4, 5}, {3, 5}, {3}}, ops::Activation::none),
    dense("without_bias", {{4, 5}, {3, 5}}, ops::Activation::none),
    dense("relu", {{4, 5}, {19, 5}, {19}}, ops::Activation::relu),
    dense("relu_without_bias", {{4, 5}, {3, 5}}, ops::Activation::relu),
    dense("gelu_tanh_fit", {{2, 3, 5}, {19, 5}, {19}}, ops::Activation::gelu_tanh_fit),
    dense("gelu_tanh_fit_inputs_first", {{4, 5}, {5, 8}, {8}}, ops::Activation::gelu_tanh_fit,
          ops::WeightForm::inputs_outputs),
    dense("gelu_tanh_fit_without_bias", {{4, 5}, {3, 5}}, ops::Activation::gelu_tanh_fit),
    dense("tanh", {{2, 3, 5}, {3, 5}, {3}}, ops::Activation::tanh),
    dense("inputs_first", {{4, 5}, {5, 19}, {19}}, ops::Activation::relu, ops::WeightForm::inputs_outputs),
    dense("inputs_first_without_bias", {{2, 3, 5}, {5, 3}}, ops::Activation::none, ops::WeightForm::inputs_outputs),
    dense("vector", {{5}, {3, 5}, {3}}, ops::Activation::none),
});

Tensor draw_uniform(const Shape& shape, unsigned seed) {
  return Tensor::from(test::normal<float>(shape.elements(), seed), shape);
}

/// What the library gives for a product and what the text gives, for both modes of writing.
void expect_same_product(const ops::Product& p, Write mode) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  const Shape shape{p.batches, p.m, p.n};
  const Tensor found = draw_uniform(shape, 9), wanted = found.clone();
  ops::product_into(context, p, {found, mode});
  ops::product_into(context, p, {wanted, mode}, ops::Backend::reference);
  const auto reference = test::as_double(wanted.to_vector<float>());
  test::expect_near(found.to_vector<float>(), reference, 2e-5 * std::sqrt(static_cast<double>(p.k)));
}

TEST(Matmul, LibraryAgreesWithTheTextInEveryForm) {
  const std::int64_t sizes[][4] = {{1, 1, 1, 1},   {1, 1, 17, 5}, {1, 64, 33, 129},
                                   {1, 3, 100, 1}, {4, 7, 5, 9},  {2, 31, 16, 8}};
  for (const auto& [batches, m, n, k] : sizes)
    for (const Transpose ta : {Transpose::no, Transpose::yes})
      for (const Transpose tb : {Transpose::no, Transpose::yes})
        for (const Write mode : {Write::overwrite, Write::accumulate}) {
          SCOPED_TRACE(fmt::format("batches {} m {} n {} k {} transposes {} {} {}", batches, m, n, k,
                                   static_cast<int>(ta), static_cast<int>(tb),
                                   mode == Write::accumulate ? "added" : "written"));
          expect_same_product({.a = draw_uniform({batches, m, k}, 1),
                               .b = draw_uniform({batches, k, n}, 2),
                               .m = m,
                               .n = n,
                               .k = k,
                               .batches = batches,
                               .transpose_a = ta,
                               .transpose_b = tb},
                              mode);
        }
}

TEST(Matmul, LibraryAgreesWithTheTextOnBiasAndRelu) {
  for (const bool bias : {false, true})
    for (const auto finish : {ops::Product::Finish::none, ops::Product::Finish::relu})
      expect_same_product({.a = draw_uniform({13, 21}, 1),
                           .b = draw_uniform({10, 21}, 2),
                           .m = 13,
                           .n = 10,
                           .k = 21,
                           .transpose_b = Transpose::yes,
                           .bias = bias ? draw_uniform({10}, 3) : Tensor(),
                           .finish = finish},
                          Write::overwrite);
}

TEST(Matmul, AnEmptyInnerDimGivesZeros) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  const Tensor y = ops::matmul(context, Tensor::zeros({2, 0}, DType::f32), Tensor::zeros({0, 3}, DType::f32)).tensor();
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(6, 0.0f));
  const Tensor none =
      ops::matmul(context, Tensor::zeros({0, 2}, DType::f32), Tensor::zeros({2, 3}, DType::f32)).tensor();
  EXPECT_EQ(none.shape(), (Shape{0, 3}));
}

std::string refusal_of(const std::function<void(Context&)>& f) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  try {
    f(context);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Matmul, WrongShapesAreNamed) {
  const auto of = [](const Shape& a, const Shape& b) {
    return refusal_of([&](Context& c) { ops::matmul(c, Tensor::zeros(a, DType::f32), Tensor::zeros(b, DType::f32)); });
  };
  EXPECT_NE(of({2, 3}, {4, 5}).find("inner extents 3 and 4 differ"), std::string::npos) << of({2, 3}, {4, 5});
  EXPECT_NE(of({2, 2, 3}, {4, 3, 5}).find("leading dims"), std::string::npos);
  EXPECT_NE(of({3}, {3, 5}).find("at least 2 dims"), std::string::npos);
  const std::string types = refusal_of([](Context& c) {
    ops::matmul(c, Tensor::zeros({2, 2}, DType::f32), Tensor::zeros({2, 2}, DType::f64));
  });
  EXPECT_NE(types.find("f32 and f64"), std::string::npos) << types;
  const std::string integers = refusal_of([](Context& c) {
    ops::matmul(c, Tensor::zeros({2, 2}, DType::i32), Tensor::zeros({2, 2}, DType::i32));
  });
  EXPECT_NE(integers.find("i32"), std::string::npos) << integers;
}

TEST(Linear, WrongShapesAreNamed) {
  const auto of = [](const Shape& x, const Shape& weight, const Shape& bias) {
    return refusal_of([&](Context& c) {
      ops::linear(c, Tensor::zeros(x, DType::f32),
                  {.weight = Tensor::zeros(weight, DType::f32), .bias = Tensor::zeros(bias, DType::f32)});
    });
  };
  EXPECT_NE(of({2, 3}, {4, 5}, {4}).find("wants 5 inputs"), std::string::npos) << of({2, 3}, {4, 5}, {4});
  EXPECT_NE(of({2, 5}, {4, 5}, {5}).find("the bias is (5)"), std::string::npos) << of({2, 5}, {4, 5}, {5});
  EXPECT_NE(of({2, 5}, {5}, {5}).find("not (outputs, inputs)"), std::string::npos);
}

TEST(Linear, RunsTwiceWithTheSameBits) {
  GradientCase row = dense("", {{64, 300}, {70, 300}, {70}}, ops::Activation::relu);
  const Computed first = compute(row, DType::f32, Contribution::first, 5);
  const Computed second = compute(row, DType::f32, Contribution::first, 5);
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.gradients, second.gradients);
}

TEST(Linear, OneAndTwoThreadsAgree) {
  GradientCase row = dense("", {{33, 65}, {70, 65}, {70}}, ops::Activation::relu);
  const int usual = omp_get_max_threads();
  omp_set_num_threads(1);
  const Computed one = compute(row, DType::f32, Contribution::first, 5);
  omp_set_num_threads(2);
  const Computed two = compute(row, DType::f32, Contribution::first, 5);
  omp_set_num_threads(usual);
  for (std::size_t i = 0; i < one.output.size(); ++i) ASSERT_NEAR(one.output[i], two.output[i], 1e-4);
}

/// The gradient that arrives at a fused ReLU may be somebody else's too: it must not be changed then.
TEST(Linear, AFusedReluLeavesSharedGradientsAlone) {
  const GradientCase row{
      .op = "linear", .variant = "", .shapes = {{3, 4}, {2, 4}, {3, 2}}, .function = [](Context& c, const Inputs& x) {
        const Value y = ops::linear(c, x[0], {.weight = x[1]}, ops::Activation::relu);
        const Value inputs[] = {y, x[2]};
        return c.record({"both", inputs,
                         [](Context&, Gradients& g) {
                           g.hand_over(1, g.output());
                           g.hand_over(0, g.output());
                         }},
                        y.tensor().clone());
      }};
  const Computed got = compute(row, DType::f64, Contribution::first, 3);
  for (const double v : got.gradients[2]) EXPECT_NE(v, 0.0);
}

}  // namespace
}  // namespace trireme
