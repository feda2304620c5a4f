// How well numbers were predicted, as text.
//   mean absolute error = sum |p - y| / n, mean squared error = sum (p - y)^2 / n,
//   R^2 = 1 - sum (p - y)^2 / sum (y - mean y)^2
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// Of one target. R^2 is not a number where the target has one value only, and printed as "-".
struct TargetScore {
  std::string name;
  double absolute_error = 0, squared_error = 0, r2 = 0;
};

/// A row for each target, and their means where there are several.
std::string regression_report(const std::vector<TargetScore>& scores);
/// Means over the targets.
TargetScore mean_score(const std::vector<TargetScore>& scores);

}  // namespace trireme
