// Counts to scores to aligned text. Names may hold any UTF-8: columns are counted in code points.
#include "launcher/run/class_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

std::size_t columns_of(const std::string& text) {
  const auto starts_letter = [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; };
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_letter));
}

std::string padding(const std::string& text, std::size_t width) {
  const std::size_t columns = columns_of(text);
  return std::string(width > columns ? width - columns : 0, ' ');
}

std::size_t widest(const std::vector<std::string>& texts) {
  std::size_t width = 0;
  for (const std::string& text : texts) width = std::max(width, columns_of(text));
  return width;
}

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(part) / static_cast<double>(whole);
}

std::string share(double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); }

void check(const ConfusionMatrix& matrix) {
  require(matrix.counts.size() == matrix.names.size() * matrix.names.size(),
          "a count matrix of {} numbers does not fit {} classes; it needs one number per pair of classes",
          matrix.counts.size(), matrix.names.size());
}

std::string report_row(const std::string& name, std::size_t width, const ClassScore& score) {
  return fmt::format("{}{}  {:>9}  {:>9}  {:>9}  {:>9}\n", name, padding(name, width), share(score.precision),
                     share(score.recall), share(score.f1), score.seen);
}

}  // namespace

std::vector<ClassScore> class_scores(const ConfusionMatrix& matrix) {
  check(matrix);
  const std::size_t classes = matrix.names.size();
  std::vector<ClassScore> scores(classes);
  for (std::size_t c = 0; c < classes; ++c) {
    std::int64_t seen = 0, predicted = 0;
    for (std::size_t other = 0; other < classes; ++other) {
      seen = checked_add(seen, matrix.counts[c * classes + other]);
      predicted = checked_add(predicted, matrix.counts[other * classes + c]);
    }
    const std::int64_t right = matrix.counts[c * classes + c];
    scores[c] = {.precision = ratio(right, predicted),
                 .recall = ratio(right, seen),
                 .f1 = ratio(2 * right, seen + predicted),
                 .seen = seen};
  }
  return scores;
}

double accuracy(const ConfusionMatrix& matrix) {
  check(matrix);
  std::int64_t right = 0, all = 0;
  for (std::size_t i = 0; i < matrix.counts.size(); ++i) {
    all = checked_add(all, matrix.counts[i]);
    if (i % (matrix.names.size() + 1) == 0) right += matrix.counts[i];
  }
  return ratio(right, all);
}

std::string confusion_table(const ConfusionMatrix& matrix) {
  check(matrix);
  const std::size_t classes = matrix.names.size();
  const std::string corner = "true \\ predicted";
  const std::size_t left = std::max(widest(matrix.names), corner.size());
  std::string out = corner + padding(corner, left);
  // Columns carry the class' number; its name stands in the row of the same number.
  std::size_t width = fmt::format("{}", classes).size();
  for (const std::int64_t count : matrix.counts) width = std::max(width, fmt::format("{}", count).size());
  const std::size_t number = fmt::format("{}", classes).size();
  out += std::string(number + 2, ' ');
  for (std::size_t c = 0; c < classes; ++c) out += fmt::format("  {:>{}}", c, width);
  out += '\n';
  for (std::size_t row = 0; row < classes; ++row) {
    out += matrix.names[row] + padding(matrix.names[row], left) + fmt::format("  {:>{}}", row, number);
    for (std::size_t c = 0; c < classes; ++c) out += fmt::format("  {:>{}}", matrix.counts[row * classes + c], width);
    out += '\n';
  }
  return out;
}

std::string class_report(const ConfusionMatrix& matrix) {
  const std::vector<ClassScore> scores = class_scores(matrix);
  const std::string mean = "mean of seen classes";
  const std::size_t width = std::max(widest(matrix.names), mean.size());
  std::string out = fmt::format("{}  {:>9}  {:>9}  {:>9}  {:>9}\n", "class" + padding("class", width), "precision",
                                "recall", "F1", "samples");
  ClassScore total;
  std::int64_t seen_classes = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    out += report_row(matrix.names[c], width, scores[c]);
    total.seen += scores[c].seen;
    if (scores[c].seen == 0) continue;
    ++seen_classes;
    total.precision += std::isnan(scores[c].precision) ? 0 : scores[c].precision;
    total.recall += scores[c].recall;
    total.f1 += scores[c].f1;
  }
  const double n = seen_classes == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(seen_classes);
  out += report_row(mean, width, {total.precision / n, total.recall / n, total.f1 / n, total.seen});
  return out + fmt::format("accuracy {}\n", share(accuracy(matrix)));
}

}  // namespace trireme
