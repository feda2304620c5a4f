// The one gradient check of all ops (law 5): the gradient of a random weighted sum of an op's output, in f64, against
// central differences, for every input. Each test file adds rows to one table; tests/core/gradient_check_test.cpp runs
// all rows and fails when an op declared in core/ops/ has none.
//
//   const GradientCases rows({{.op = "relu", .shapes = {{3, 5}}, .function = [](Context& c, const Inputs& x) {
//                                return ops::relu(c, x[0]); }}});
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "core/tape/context.hpp"

namespace trireme {

using Inputs = std::vector<Value>;

/// One row of the table.
struct GradientCase {
  std::string op;       ///< The function's name in core/ops/.
  std::string variant;  ///< What is special about this row; letters, digits and underscores, may be empty.
  std::vector<Shape> shapes;
  /// Runs the op on inputs of `shapes` (any floating type, on any device; constants it needs are its own, of
  /// x[0].dtype() and on the context's device).
  std::function<Value(Context&, const Inputs&)> function;
  /// Inputs are drawn uniformly from [low, high], but never closer to 0 than 0.05 (kinks of relu, poles of division).
  double low = -2, high = 2;
  double step = 1e-5;           ///< Of the central difference.
  double tolerance = 1e-7;      ///< Of the difference, relative to the largest gradient of that input.
  double f32_tolerance = 2e-5;  ///< f32 against f64, relative to the largest value; 0: not compared.
  /// bf16 and f16 against f64, in distances of neighbouring numbers at the largest value; 0: not compared.
  double half_tolerance = 3;
  std::string name() const { return variant.empty() ? op : op + "_" + variant; }
  friend std::ostream& operator<<(std::ostream& out, const GradientCase& c) { return out << c.name(); }
};

/// All rows added so far.
std::vector<GradientCase>& gradient_cases();

/// Adds rows when it is constructed: a constant of namespace scope in a test file.
struct GradientCases {
  explicit GradientCases(std::vector<GradientCase> rows);
};

/// What an op gave: its output and, after a backward pass of the weighted sum, the gradients of its inputs.
struct Computed {
  Shape shape;
  std::vector<double> output;
  std::vector<std::vector<double>> gradients;
};

/// Whether the op's gradient is the first contribution to its inputs, or is added to one that is there already (then
/// the reported gradients include that known contribution).
enum class Contribution : std::uint8_t { first, second };

struct Setting {
  DType dtype = DType::f64;
  Device device = Device::cpu();
  Contribution contribution = Contribution::first;
};

/// Forward and backward with inputs and weights drawn from `seed`, in memory that holds no number at first.
Computed compute(const GradientCase& row, const Setting& setting, std::uint64_t seed);
/// The same on the CPU.
Computed compute(const GradientCase& row, DType dtype, Contribution contribution, std::uint64_t seed);

/// An empty text when the gradients agree with central differences and f32 with f64, else what differs and where.
std::string check_gradient(const GradientCase& row, std::uint64_t seed);

/// An empty text when output and gradients in `half` (bf16 or f16) agree with those in f64 of the same inputs, which
/// `half` holds exactly, and so do gradients kept in f32 where the inputs are parameters; else what differs and where.
std::string check_half(const GradientCase& row, DType half, std::uint64_t seed);

/// The output's shape by a pass on the meta device.
Shape meta_shape(const GradientCase& row, DType dtype);

}  // namespace trireme
