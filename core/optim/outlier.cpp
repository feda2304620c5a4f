#include "core/optim/outlier.hpp"

#include <cmath>
#include <numeric>

#include "core/base/error.hpp"

namespace trireme {

std::optional<double> OutlierWindow::score(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  std::optional<double> out;
  if (std::ssize(values_) == length) {
    const double mean = std::accumulate(values_.begin(), values_.end(), 0.0) / static_cast<double>(length);
    double squares = 0;
    for (const double one : values_) squares += (one - mean) * (one - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(length));
    // Values that are all alike have no noise to compare with.
    out = deviation > 0 ? (value - mean) / deviation : 0;
    values_.erase(values_.begin());
  }
  values_.push_back(value);
  return out;
}

void OutlierWindow::restore(std::vector<double> values) {
  if (std::ssize(values) > length)
    fail(ExitCode::corrupt_input, "a window of outlier scores has {} values, more than its {}", values.size(), length);
  for (const double one : values)
    if (!std::isfinite(one)) fail(ExitCode::corrupt_input, "a window of outlier scores holds {}", one);
  values_ = std::move(values);
}

}  // namespace trireme
