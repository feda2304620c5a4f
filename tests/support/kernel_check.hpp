// Helpers of the kernel tests: random values, conversion between types, comparison with a plain f64 reference. Uses
// kernel headers only, so that these tests also build without OpenMP for ThreadSanitizer.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/support/thread_team.hpp"

namespace trireme::test {

using Values = std::vector<double>;

inline Values normal_values(std::int64_t n, unsigned seed, double deviation = 1) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> draw(0.25, deviation);
  Values out(static_cast<std::size_t>(n));
  for (double& value : out) value = static_cast<double>(static_cast<float>(draw(bits)));  // exact in f32
  return out;
}

template <class T>
std::vector<T> as(const Values& v) {
  std::vector<T> out;
  for (const double value : v) out.push_back(static_cast<T>(value));
  return out;
}
template <class T>
std::vector<T> unset(std::int64_t n) {
  return std::vector<T>(static_cast<std::size_t>(n), static_cast<T>(NAN));
}

/// The values as T holds them: a reference in f64 then sees what a kernel sees.
template <class T>
Values rounded(Values values) {
  for (double& value : values) value = static_cast<double>(static_cast<T>(value));
  return values;
}

/// Twice the distance of neighbouring numbers at 1, for results of kernels on values that T holds exactly.
template <class T>
constexpr double half_tolerance = std::is_same_v<T, BFloat16> ? 0x1p-6 : 0x1p-9;

template <class T>
void expect_near(const std::vector<T>& got, const Values& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double allowed = tolerance * (1 + std::abs(want[i]));
    ASSERT_NEAR(static_cast<double>(got[i]), want[i], allowed) << what << ", element " << i;
  }
}

/// A row kernel over all rows.
template <class Kernel>
void run_rows(int lanes, std::int64_t rows, const Kernel& kernel) {
  on_team(lanes, [&](const auto& team) {
    for (std::int64_t row = 0; row < rows; ++row) kernel(team, row);
  });
}

/// A column kernel over all stripes and tiles. `pack` is the kernel's columns of a lane on teams of several lanes.
template <class Kernel>
void run_columns(int lanes, std::int64_t stripes, std::int64_t features, const Kernel& kernel) {
  on_team(lanes, [&](const auto& team) {
    const std::int64_t tile = lanes == 1 ? Kernel::serial_pack : lanes * Kernel::serial_pack / 4;
    for (std::int64_t stripe = 0; stripe < stripes; ++stripe)
      for (std::int64_t t = 0; t < (features + tile - 1) / tile; ++t) kernel(team, stripe, t);
  });
}

/// An element kernel in its widest steps, then packs, then single elements, as launch_elements does on a CPU.
template <class Kernel>
void run_elements(std::int64_t n, const Kernel& kernel) {
  std::int64_t i = 0;
  for (; i + Kernel::serial_pack <= n; i += Kernel::serial_pack) kernel(i, Width<Kernel::serial_pack>{});
  for (; i + Kernel::pack <= n; i += Kernel::pack) kernel(i, Width<Kernel::pack>{});
  for (; i < n; ++i) kernel(i, Width<1>{});
}

struct LanesAndWidth {
  int lanes;
  std::int64_t features;
};
inline std::string name_of_case(const testing::TestParamInfo<LanesAndWidth>& row) {
  return "lanes" + std::to_string(row.param.lanes) + "features" + std::to_string(row.param.features);
}
inline auto lanes_and_widths() {
  return testing::Values(LanesAndWidth{1, 10}, LanesAndWidth{1, 77}, LanesAndWidth{1, 80}, LanesAndWidth{3, 77},
                         LanesAndWidth{3, 80}, LanesAndWidth{4, 80}, LanesAndWidth{4, 1}, LanesAndWidth{32, 10},
                         LanesAndWidth{32, 77}, LanesAndWidth{32, 512});
}

}  // namespace trireme::test
