// The seed of a random test: another one in each run, unless --gtest_random_seed names one to replay.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

namespace trireme {

inline std::uint32_t random_seed() {
  const auto named = static_cast<std::uint32_t>(GTEST_FLAG_GET(random_seed));
  return named != 0 ? named : std::random_device{}() % 99999 + 1;
}

/// For SCOPED_TRACE: how to run the current test again with this seed.
inline std::string replay(std::uint32_t seed) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return "replay: --gtest_random_seed=" + std::to_string(seed) + " --gtest_filter=" + test->test_suite_name() + "." +
         test->name();
}

}  // namespace trireme
