// Every op of the gradient check's table on each device, forward and backward, as a first and as an added gradient,
// against f64 on the CPU. Memory holds no numbers at first.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "core/ops/attention.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/rotary.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

class OpsOnDevice : public test::DeviceTest {};
TRIREME_FOR_EACH_DEVICE(OpsOnDevice);

using test::expect_like;

void expect_like(const Computed& got, const Computed& want, double tolerance) {
  ASSERT_EQ(got.shape, want.shape);
  expect_like(got.output, want.output, tolerance);
  for (std::size_t k = 0; k < want.gradients.size(); ++k) {
    SCOPED_TRACE(testing::Message() << "gradient of input " << k);
    expect_like(got.gradients[k], want.gradients[k], tolerance);
  }
}

TEST_P(OpsOnDevice, EveryOpAgreesWithTheCpuInF64) {
  ASSERT_GT(gradient_cases().size(), 100U);
  for (const GradientCase& row : gradient_cases())
    for (const Contribution contribution : {Contribution::first, Contribution::second}) {
      SCOPED_TRACE(row.name());
      const Computed want = compute(row, {DType::f64, Device::cpu(), contribution}, 1);
      expect_like(compute(row, {DType::f64, device(), contribution}, 1), want, 1e-10);
      if (row.f32_tolerance > 0)
        expect_like(compute(row, {DType::f32, device(), contribution}, 1), want, 2 * row.f32_tolerance);
    }
}

TEST_P(OpsOnDevice, TheSameBitsTwice) {
  for (const GradientCase& row : gradient_cases()) {
    SCOPED_TRACE(row.name());
    const Setting here{DType::f32, device(), Contribution::first};
    const Computed first = compute(row, here, 2), second = compute(row, here, 2);
    ASSERT_EQ(first.output, second.output);
    ASSERT_EQ(first.gradients, second.gradients);
  }
}

/// A kernel would read an address of another device: not a wrong number but the end of the process.
TEST_P(OpsOnDevice, IndicesOnAnotherDeviceAreRefusedByName) {
  const Stream stream(device());
  StepAllocator memory(device());
  Context context(stream, memory);
  const Tensor there = Tensor::empty({2, 3}, DType::i32, Device::meta()), labels = there.reshape({6});
  const Tensor x = Tensor::zeros({2, 3, 6}, DType::f32, device()), table = x.reshape({6, 6});
  const auto refused = [&](const char* what, const std::function<void()>& call) {
    try {
      call();
      ADD_FAILURE() << what << " on another device were taken";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("are on meta"), std::string::npos) << error.what();
    }
  };
  refused("embedding: the ids", [&] { ops::embedding(context, there, {.table = table}); });
  refused("attention: the starts of documents",
          [&] { ops::attention(context, x, {.head_size = 2, .document_start = there}); });
  refused("rotary: the positions", [&] { ops::rotary(context, x, {.position_of = there, .positions = 3}); });
  refused("cross_entropy: the labels", [&] { ops::cross_entropy(context, table, labels); });
}

}  // namespace
}  // namespace trireme
