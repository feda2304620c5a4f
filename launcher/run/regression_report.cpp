#include "launcher/run/regression_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : "-"; }

}  // namespace

TargetScore mean_score(const std::vector<TargetScore>& scores) {
  TargetScore mean{.name = "mean of the targets"};
  const auto count = static_cast<double>(scores.size());
  for (const TargetScore& one : scores) {
    mean.absolute_error += one.absolute_error / count;
    mean.squared_error += one.squared_error / count;
    mean.r2 += one.r2 / count;
  }
  return mean;
}

std::string regression_report(const std::vector<TargetScore>& scores) {
  std::vector<TargetScore> rows = scores;
  if (rows.size() > 1) rows.push_back(mean_score(scores));
  std::size_t width = 6;
  for (const TargetScore& one : rows) width = std::max(width, one.name.size());
  std::string out = fmt::format("{:<{}}  {:>19}  {:>18}  {:>9}\n", "target", width, "mean absolute error",
                                "mean squared error", "R^2");
  for (const TargetScore& one : rows)
    out += fmt::format("{:<{}}  {:>19}  {:>18}  {:>9}\n", one.name, width, number(one.absolute_error),
                       number(one.squared_error), std::isfinite(one.r2) ? fmt::format("{:.4f}", one.r2) : "-");
  return out;
}

}  // namespace trireme
