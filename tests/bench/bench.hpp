// What the benchmark programs share: timing by repetition, and results as one JSON line each on standard output, which
// tests/bench/run.py collects. Figures are medians with their smallest and largest value.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace trireme::bench {

struct Samples {
  double median = 0, least = 0, most = 0;

  static Samples of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return {values[values.size() / 2], values.front(), values.back()};
  }
  /// The rate of `amount` in each of these times.
  Samples rate(double amount) const { return {amount / median, amount / most, amount / least}; }
};

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds of one call, each time; the first call is not counted.
inline Samples time_calls(int times, const std::function<void()>& call) {
  call();
  std::vector<double> seconds;
  for (int i = 0; i < times; ++i) {
    const double start = now();
    call();
    seconds.push_back(now() - start);
  }
  return Samples::of(std::move(seconds));
}

/// All digits: counts are compared with those of others.
inline void report(const std::string& name, const std::string& unit, const Samples& values) {
  fmt::print(R"({{"name":"{}","unit":"{}","median":{},"min":{},"max":{}}})"
             "\n",
             name, unit, values.median, values.least, values.most);
  std::fflush(stdout);
}

}  // namespace trireme::bench
