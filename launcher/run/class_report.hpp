// Tables about a classifier from its count matrix: who was taken for whom, and precision, recall, F1 per class.
//   precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN)
// A ratio without a denominator (a class never predicted, never seen) is not a number and printed as "-".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

/// counts[true * classes + predicted]; names.size() = classes.
struct ConfusionMatrix {
  std::vector<std::string> names;
  std::vector<std::int64_t> counts;
};

struct ClassScore {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  std::int64_t seen = 0;  // samples whose true class this is
};

std::vector<ClassScore> class_scores(const ConfusionMatrix& matrix);
/// Correct / all; not a number without samples.
double accuracy(const ConfusionMatrix& matrix);

/// One row per true class, one column per predicted one.
std::string confusion_table(const ConfusionMatrix& matrix);
/// One row per class, then accuracy and the mean over the classes that were seen (F1 of a seen class that was never
/// predicted counts as 0, its precision as 0).
std::string class_report(const ConfusionMatrix& matrix);

}  // namespace trireme
