// What is known of a classifier from the scores it gives each class of each sample, beyond who was taken for whom.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// Scores of some samples, row by row: scores[sample * classes + class]; larger means likelier.
struct ClassScores {
  std::size_t classes = 0;
  std::span<const float> scores = {};
  std::span<const std::int32_t> truth = {};
};

/// The share of samples whose true class is among the k with the largest scores (equal scores count against it); not a
/// number without samples.
double top_k_accuracy(const ClassScores& given, std::size_t k);

/// Area under the receiver operating characteristic of each class against the rest: the probability that a sample of
/// the class has a larger score for it than one of another class, ties counted half (Mann and Whitney 1947). Not a
/// number for a class that all samples have or none has. O(classes x samples x log samples).
std::vector<double> roc_auc(const ClassScores& given);

/// The mean of the numbers among `values`; not a number where there are none.
double mean_of_numbers(std::span<const double> values);

}  // namespace trireme
