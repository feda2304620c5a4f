#include "launcher/run/class_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.hpp"

namespace trireme {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

void check(const ClassScores& given) {
  require(given.scores.size() == given.truth.size() * given.classes,
          "{} scores for {} samples of {} classes; wanted one of each class for each sample", given.scores.size(),
          given.truth.size(), given.classes);
}

}  // namespace

double top_k_accuracy(const ClassScores& given, std::size_t k) {
  check(given);
  std::size_t right = 0;
  for (std::size_t row = 0; row < given.truth.size(); ++row) {
    const auto scores = given.scores.subspan(row * given.classes, given.classes);
    const auto truth = static_cast<std::size_t>(given.truth[row]);
    std::size_t before = 0;
    for (std::size_t c = 0; c < given.classes; ++c)
      if (c != truth && !(scores[c] < scores[truth])) ++before;
    if (before < k) ++right;
  }
  return given.truth.empty() ? not_a_number : static_cast<double>(right) / static_cast<double>(given.truth.size());
}

std::vector<double> roc_auc(const ClassScores& given) {
  check(given);
  const std::size_t samples = given.truth.size();
  std::vector<double> out;
  std::vector<std::size_t> order(samples);
  for (std::size_t c = 0; c < given.classes; ++c) {
    const auto score = [&](std::size_t row) { return given.scores[row * given.classes + c]; };
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return score(a) < score(b); });
    // The sum of the ranks of the class' own samples, equal scores sharing their mean rank.
    double ranks = 0, own = 0;
    for (std::size_t begin = 0; begin < samples;) {
      std::size_t end = begin, here = 0;
      for (; end < samples && score(order[end]) == score(order[begin]); ++end)
        here += static_cast<std::size_t>(given.truth[order[end]]) == c ? 1 : 0;
      // Only a score that is no number equals nothing, not even itself.
      require(end > begin, "a score of class {} is not a number: no curve can be drawn", c);
      ranks += static_cast<double>(here) * (static_cast<double>(begin + end + 1) / 2);
      own += static_cast<double>(here);
      begin = end;
    }
    const double others = static_cast<double>(samples) - own;
    out.push_back(own == 0 || others == 0 ? not_a_number : (ranks - own * (own + 1) / 2) / (own * others));
  }
  return out;
}

double mean_of_numbers(std::span<const double> values) {
  double sum = 0, count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    count += 1;
  }
  return count == 0 ? not_a_number : sum / count;
}

}  // namespace trireme
