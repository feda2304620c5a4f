// Every op of the gradient check's table on each device, forward and backward, as a first and as an added gradient,
// against f64 on the CPU. Memory holds no numbers at first.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/devices.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

class OpsOnDevice : public test::DeviceTest {};
TRIREME_FOR_EACH_DEVICE(OpsOnDevice);

void expect_like(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 1e-3;
  for (const double v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::abs(got[i] - want[i]), tolerance * largest) << "element " << i << ": " << got[i];
}

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

}  // namespace
}  // namespace trireme
