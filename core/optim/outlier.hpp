// How far a number lies from those before it: the z-score over a window, by which a training step whose loss or
// gradient norm jumps can be told from the usual noise.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace trireme {

class OutlierWindow {
 public:
  static constexpr std::int64_t length = 128;

  /// (value - mean) / deviation over the last `length` values before it, then takes the value in; nothing until there
  /// are as many. A value that is not finite is not taken in and has no score.
  std::optional<double> score(double value);

  /// Values from the oldest on: all there is to save.
  const std::vector<double>& values() const { return values_; }
  void restore(std::vector<double> values);

 private:
  std::vector<double> values_;
};

}  // namespace trireme
