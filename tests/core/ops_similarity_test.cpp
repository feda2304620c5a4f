// Cosine similarity: rows of the gradient check, values against the plain formula, vectors of zeros, refusals.
#include "core/ops/cosine_similarity.hpp"

#include "tests/support/gradient_check.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

Value cosine(Context& c, const Inputs& x) { return ops::cosine_similarity(c, x[0], x[1]); }
const GradientCases cosines({
    {.op = "cosine_similarity", .variant = "", .shapes = {{4, 9}, {4, 9}}, .function = cosine},
    {.op = "cosine_similarity", .variant = "of_parts", .shapes = {{2, 3, 21}, {2, 3, 21}}, .function = cosine},
});

TEST(CosineSimilarity, IsTheAngleOfTwoVectors) {
  const Stream stream;
  Context context(stream, system_allocator(Device::cpu()));
  const std::int64_t rows = 3, features = 5;
  const auto a = test::normal_values(rows * features, 1), b = test::normal_values(rows * features, 2);
  const Tensor ta = Tensor::from(test::as<float>(a), {rows, features}),
               tb = Tensor::from(test::as<float>(b), {rows, features});
  test::Values wanted;
  for (std::size_t row = 0; row < 3; ++row) {
    double product = 0, of_a = 0, of_b = 0;
    for (std::size_t k = row * 5; k < row * 5 + 5; ++k) {
      product += a[k] * b[k];
      of_a += a[k] * a[k];
      of_b += b[k] * b[k];
    }
    wanted.push_back(product / std::sqrt(of_a * of_b));
  }
  const auto of = [&](const Tensor& x, const Tensor& y) {
    return ops::cosine_similarity(context, x, y).tensor().to_vector<float>();
  };
  test::expect_near(of(ta, tb), wanted, 1e-6, "cosines");
  test::expect_near(of(ta, ta), test::Values(3, 1.0), 1e-6, "of equal ones");
  EXPECT_EQ(of(ta, context.zeros({rows, features}, DType::f32)), std::vector<float>(3, 0.0F));
  EXPECT_THROW(of(ta, tb.slice(0, 1)), Error);
  EXPECT_THROW(of(ta, tb.slice(0, 1).reshape({features})), Error);
}

}  // namespace
}  // namespace trireme
