// Convolution: gradients, every path of the library against the plain text, reordered filters that follow their
// parameter, messages.
#include "core/ops/conv2d.hpp"

#include <gtest/gtest.h>

#include <omp.h>

#include "tests/support/devices.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

GradientCase conv(const char* variant, std::vector<Shape> shapes, const ops::Conv2dOptions& options = {}) {
  return {.op = "conv2d",
          .variant = variant,
          .shapes = std::move(shapes),
          .function = [options](Context& c, const Inputs& x) {
            return ops::conv2d(c, x[0], {.filter = x[1], .bias = x.size() > 2 ? x[2] : Value()}, options);
          }};
}

const std::vector<GradientCase> conv_cases{
    conv("", {{2, 5, 4, 3}, {4, 3, 3, 3}, {4}}),
    conv("padded", {{2, 5, 4, 3}, {4, 3, 3, 3}, {4}}, {.padding = {1, 1}}),
    conv("strided", {{2, 7, 6, 2}, {3, 3, 2, 2}, {3}}, {.stride = {2, 3}, .padding = {1, 0}}),
    conv("without_bias", {{1, 4, 4, 2}, {3, 2, 2, 2}}),
    conv("groups", {{2, 4, 5, 6}, {4, 3, 3, 3}, {4}}, {.padding = {1, 1}, .groups = 2}),
    conv("depthwise", {{2, 5, 5, 4}, {4, 3, 3, 1}, {4}}, {.padding = {1, 1}, .groups = 4}),
    conv("depthwise_doubled", {{1, 4, 4, 3}, {6, 3, 3, 1}}, {.stride = {2, 2}, .padding = {1, 1}, .groups = 3}),
    conv("one_channel", {{2, 6, 6, 1}, {5, 3, 3, 1}, {5}}),
    conv("one_by_one", {{2, 3, 3, 5}, {4, 1, 1, 5}, {4}}),
    conv("one_pixel", {{1, 1, 1, 3}, {2, 1, 1, 3}, {2}}),
    conv("one_pixel_padded", {{1, 1, 1, 3}, {2, 3, 3, 3}, {2}}, {.padding = {1, 1}}),
    conv("wide_padding", {{1, 2, 2, 2}, {2, 3, 3, 2}, {2}}, {.stride = {2, 2}, .padding = {3, 3}}),
    conv("dilated", {{2, 7, 6, 2}, {3, 3, 2, 2}, {3}}, {.padding = {1, 1}, .dilation = {2, 3}}),
    conv("dilated_strided_groups", {{1, 9, 8, 4}, {6, 3, 3, 2}, {6}},
         {.stride = {2, 1}, .padding = {2, 0}, .dilation = {3, 2}, .groups = 2}),
    conv("relu", {{2, 4, 4, 3}, {4, 3, 3, 3}, {4}}, {.padding = {1, 1}, .activation = ops::Activation::relu}),
    conv("gelu", {{1, 4, 4, 2}, {2, 3, 3, 2}, {2}}, {.activation = ops::Activation::gelu}),
    conv("many_channels", {{1, 3, 3, 19}, {17, 2, 2, 19}, {17}}),
};
const GradientCases conv_rows(conv_cases);

GradientCase by_reference(const GradientCase& row, const ops::Conv2dOptions& options) {
  ops::Conv2dOptions plain = options;
  plain.backend = ops::Backend::reference;
  return conv(row.variant.c_str(), row.shapes, plain);
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted, double tolerance) {
  ASSERT_EQ(found.size(), wanted.size());
  double largest = 1e-3;
  for (const double v : wanted) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], wanted[i], tolerance * largest) << "element " << i;
}

struct Sizes {
  std::int64_t batch, height, width, channels, outputs, filter_h, filter_w;
};

void expect_library_agrees(const Sizes& s, const ops::Conv2dOptions& options) {
  SCOPED_TRACE(fmt::format("B{} {}x{} {}->{} filter {}x{} stride {},{} padding {},{} groups {}", s.batch, s.height,
                           s.width, s.channels, s.outputs, s.filter_h, s.filter_w, options.stride.height,
                           options.stride.width, options.padding.height, options.padding.width, options.groups));
  const GradientCase row = conv("",
                                {{s.batch, s.height, s.width, s.channels},
                                 {s.outputs, s.filter_h, s.filter_w, s.channels / options.groups},
                                 {s.outputs}},
                                options);
  const Computed wanted = compute(by_reference(row, options), DType::f64, Contribution::first, 11);
  for (const Contribution contribution : {Contribution::first, Contribution::second}) {
    const Computed found = compute(row, DType::f32, contribution, 11);
    const Computed plain = compute(by_reference(row, options), DType::f64, contribution, 11);
    ASSERT_EQ(found.shape, wanted.shape);
    expect_near(found.output, wanted.output, 1e-5);
    for (std::size_t k = 0; k < found.gradients.size(); ++k) expect_near(found.gradients[k], plain.gradients[k], 2e-5);
  }
}

TEST(Conv2d, LibraryAgreesWithTheText) {
  const Sizes sizes[] = {{3, 9, 7, 1, 32, 3, 3},  {2, 8, 8, 3, 16, 5, 5}, {1, 7, 7, 64, 64, 3, 3},
                         {5, 6, 5, 17, 10, 3, 2}, {1, 1, 1, 8, 8, 1, 1},  {2, 13, 11, 32, 64, 3, 3},
                         {1, 12, 12, 1, 6, 5, 5}, {4, 5, 5, 16, 33, 1, 1}};
  for (const Sizes& s : sizes)
    for (const std::int64_t stride : {1, 2})
      for (const std::int64_t padding : {0, 1, 2})
        if (s.height + 2 * padding >= s.filter_h)
          expect_library_agrees(s, {.stride = {stride, stride}, .padding = {padding, padding}});
}

/// Sizes at which the library computes by Winograd's minimal filtering where the processor has the code: tiles whole
/// and cut, edges with and without padding; and large filters over small images, for which it has a form of its own.
TEST(Conv2d, LibraryAgreesWithTheTextForLargeLayers) {
  for (const auto activation : {ops::Activation::none, ops::Activation::relu}) {
    expect_library_agrees({4, 16, 16, 48, 64, 3, 3}, {.padding = {1, 1}, .activation = activation});
    expect_library_agrees({5, 15, 14, 64, 48, 3, 3}, {.activation = activation});
    expect_library_agrees({9, 9, 13, 48, 80, 3, 3}, {.padding = {0, 1}, .activation = activation});
    expect_library_agrees({64, 4, 4, 96, 48, 3, 3}, {.padding = {1, 1}, .activation = activation});
    expect_library_agrees({1, 4, 4, 256, 512, 3, 3}, {.padding = {1, 1}, .activation = activation});
    expect_library_agrees({2, 7, 3, 512, 240, 3, 3}, {.padding = {1, 0}, .activation = activation});
  }
}

/// The root of the mean square of what f32 is away from f64, of the numbers' own.
double rounding_of(const GradientCase& row) {
  const Computed f32 = compute(row, DType::f32, Contribution::first, 7);
  const Computed f64 = compute(row, DType::f64, Contribution::first, 7);
  double apart = 0, all = 0;
  for (std::size_t i = 0; i < f64.output.size(); ++i) {
    apart += (f32.output[i] - f64.output[i]) * (f32.output[i] - f64.output[i]);
    all += f64.output[i] * f64.output[i];
  }
  return std::sqrt(apart / all);
}

/// Not Winograd's filtering, which rounds several times as coarsely and is for gradients.
TEST(Conv2d, OutputsAreDirectSums) {
  const std::vector<Shape> shapes{{64, 8, 8, 64}, {64, 3, 3, 64}};
  EXPECT_LT(rounding_of(conv("", shapes, {.padding = {1, 1}})), 5e-7);
  EXPECT_LT(rounding_of({.op = "conv_transpose2d",
                         .variant = "",
                         .shapes = shapes,
                         .function =
                             [](Context& c, const Inputs& x) {
                               return ops::conv_transpose2d(c, x[0], {.filter = x[1]}, {.conv = {.padding = {1, 1}}});
                             }}),
            5e-7);
}

TEST(Conv2d, LibraryAgreesWithTheTextInGroups) {
  expect_library_agrees({2, 6, 6, 8, 12, 3, 3}, {.padding = {1, 1}, .groups = 4});
  expect_library_agrees({2, 6, 7, 32, 32, 3, 3}, {.padding = {1, 1}, .groups = 32});
  expect_library_agrees({1, 6, 7, 24, 24, 3, 3}, {.stride = {2, 1}, .padding = {1, 0}, .groups = 24});
  expect_library_agrees({1, 6, 7, 5, 5, 3, 3}, {.padding = {1, 1}, .groups = 5});
  expect_library_agrees({1, 5, 5, 6, 12, 3, 3}, {.padding = {1, 1}, .groups = 6});
  expect_library_agrees({3, 5, 5, 32, 64, 1, 1}, {.groups = 2, .activation = ops::Activation::relu});
}

TEST(Conv2d, RunsTwiceWithTheSameBits) {
  for (const std::int64_t channels : {32, 64}) {
    const GradientCase row = conv("", {{16, 14, 14, channels}, {64, 3, 3, channels}, {64}},
                                  {.padding = {1, 1}, .activation = ops::Activation::relu});
    const Computed first = compute(row, DType::f32, Contribution::first, 5);
    const Computed second = compute(row, DType::f32, Contribution::first, 5);
    EXPECT_EQ(first.output, second.output);
    EXPECT_EQ(first.gradients, second.gradients);
  }
}

/// A convolution of one image and one filter of one weight: y = weight * x.
struct OneWeight {
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  Parameter filter{{1, 1, 1, 1}, Initializer::zeros()};
  OneWeight() { filter.bind(Tensor::zeros({1, 1, 1, 1}, DType::f32), "filter", 0); }
  void set(float weight) {
    filter.value().span<float>()[0] = weight;
    filter.value().buffer()->bump_version();
  }
  double at(float x) {
    const Tensor image = Tensor::from(std::vector<float>{x}, {1, 1, 1, 1});
    return ops::conv2d(context, image, {.filter = context.use(filter)}).tensor().item();
  }
};

TEST(Conv2d, TheReorderedFilterFollowsTheParameter) {
  OneWeight net;
  net.set(3);
  EXPECT_EQ(net.at(2), 6);
  EXPECT_EQ(net.at(5), 15);
  net.set(-1);
  EXPECT_EQ(net.at(2), -2);
  net.filter.bind(Tensor::from(std::vector<float>{7}, {1, 1, 1, 1}), "filter", 0);
  EXPECT_EQ(net.at(2), 14);
}

TEST(Conv2d, ManyShapesDoNotFillTheMemory) {
  OneWeight net;
  net.set(2);
  for (std::int64_t size = 1; size <= 300; ++size) {
    const Tensor image = Tensor::zeros({1, 1, size, 1}, DType::f32);
    image.span<float>().back() = 4;
    const Tensor y = ops::conv2d(net.context, image, {.filter = net.context.use(net.filter)}).tensor();
    ASSERT_EQ(y.span<float>().back(), 8) << size;
  }
}

TEST(Conv2d, WrongShapesAreNamed) {
  const auto of = [](const Shape& x, const Shape& filter, const ops::Conv2dOptions& options) -> std::string {
    const Stream stream;
    StepAllocator memory(Device::cpu());
    Context context(stream, memory);
    try {
      ops::conv2d(context, Tensor::zeros(x, DType::f32), {.filter = Tensor::zeros(filter, DType::f32)}, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto expect = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect(of({2, 5, 5}, {4, 3, 3, 1}, {}), "not (batch, height, width, channels)");
  expect(of({2, 5, 5, 2}, {4, 3, 3, 1}, {}), "wants 1 channels");
  expect(of({2, 5, 5, 2}, {4, 7, 3, 2}, {}), "larger than the input");
  expect(of({2, 5, 5, 2}, {3, 3, 3, 1}, {.groups = 2}), "3 outputs cannot be shared by 2 groups");
  expect(of({2, 5, 5, 2}, {4, 3, 3, 2}, {.stride = {0, 1}}), "stride (0, 1)");
  expect(of({2, 5, 5, 2}, {4, 3, 3, 2}, {.padding = {-1, 1}}), "must not be negative");
  expect(of({2, 5, 5, 2}, {4, 3, 3, 2}, {.dilation = {2, 0}}), "dilation (2, 0) must be positive");
  expect(of({2, 5, 5, 2}, {4, 3, 3, 2}, {.dilation = {1, 3}}), "reaches over (3, 7), is larger than the input");
}

}  // namespace
}  // namespace trireme
