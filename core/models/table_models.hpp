// Networks for the rows of a table.
#pragma once

#include <cstdint>
#include <vector>

#include "core/nn/module.hpp"

namespace trireme {

struct TableModelOptions {
  std::vector<std::int64_t> hidden = {64, 64};  ///< Width of each hidden layer; none: a linear model.
  std::int64_t outputs = 1;
  double dropout = 0;  ///< Share of the hidden values that is dropped in training.
};

/// A multi-layer perceptron with ReLU: (B, features) -> (B, outputs).
Sequential make_table_model(const TableModelOptions& options);

}  // namespace trireme
