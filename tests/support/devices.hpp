// Tests that run once on each device: a fixture that skips the GPU where there is none, and the values they compare.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/device/device.hpp"
#include "core/kernels/team.hpp"

namespace trireme::test {

class DeviceTest : public testing::TestWithParam<Device::Kind> {
 protected:
  void SetUp() override {
    if (device().is_cuda() && cuda_device_count() == 0)
      GTEST_SKIP() << "skipped: no GPU (" << cuda_unavailable_reason() << ")";
  }
  Device device() const { return {GetParam(), 0}; }
};

inline std::string device_name(const testing::TestParamInfo<Device::Kind>& info) {
  return info.param == Device::Kind::cuda ? "cuda" : "cpu";
}

/// n normal values around 0.5, the same for the same seed.
template <class T>
std::vector<T> normal(std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> draw(0.5, 2.0);
  std::vector<T> out;
  out.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) out.push_back(T(static_cast<Accum<T>>(draw(bits))));
  return out;
}

template <class T>
std::vector<double> as_double(const std::vector<T>& values) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const T v : values) out.push_back(static_cast<double>(static_cast<Accum<T>>(v)));
  return out;
}

/// Each element within tolerance * (1 + |wanted|); reports the first that is not.
template <class T>
void expect_near(const std::vector<T>& values, const std::vector<double>& wanted, double tolerance) {
  const auto found = as_double(values);
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_LE(std::abs(found[i] - wanted[i]), tolerance * (1 + std::abs(wanted[i])))
        << "element " << i << ": " << found[i] << " instead of " << wanted[i];
}

/// Each element within tolerance of the largest one: errors of sums grow with what was summed.
inline void expect_like(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 1e-3;
  for (const double v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::abs(got[i] - want[i]), tolerance * largest) << "element " << i << ": " << got[i];
}

}  // namespace trireme::test

#define TRIREME_FOR_EACH_DEVICE(fixture)                                                                 \
  INSTANTIATE_TEST_SUITE_P(Each, fixture,                                                                \
                           testing::Values(::trireme::Device::Kind::cpu, ::trireme::Device::Kind::cuda), \
                           ::trireme::test::device_name)
