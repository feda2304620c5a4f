// What the samples of a table look like: a field x of numbers, and label (a class) or y (numbers to be predicted). Made
// by `trireme data import csv`, or from arrays of those names by `trireme data import npy`.
#pragma once

#include <string>

#include "datasets/dataset.hpp"
#include "launcher/run/task.hpp"

namespace trireme {

struct TableForm {
  enum class Task : std::uint8_t { classes, regression } task = Task::classes;
  std::int64_t features = 0;
  std::int64_t outputs = 0;  ///< Classes, or numbers to be predicted.
  bool answered = true;      ///< Whether the samples say which.

  /// corrupt_input where the split has no f32 or f64 field x of one dim, and neither a field y of f32 or f64 of at most
  /// one dim nor an i32 field label with names of at least 2 classes. usage where answers are needed and an imported
  /// table has none.
  static TableForm of(const Split& split, Answers answers = Answers::needed);
};

/// What a run keeps of the data set that it was trained on: columns, scaling and names of classes, as JSON. Data that a
/// network is to judge must have the same.
std::string table_text(const Split& split);

}  // namespace trireme
