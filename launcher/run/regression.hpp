// Numbers predicted from the rows of a table: fields x (features) and y (targets), a loss of the difference, and errors
// in the units of the table's columns, whatever scaling the data set has.
#pragma once

#include "launcher/run/regression_report.hpp"
#include "launcher/run/table_form.hpp"
#include "launcher/run/task.hpp"

namespace trireme {

struct RegressionOptions {
  /// (p - y)^2, |p - y|, or the first near 0 and the second elsewhere (ops::smooth_l1_loss), of the stored numbers.
  enum class Loss : std::uint8_t { squared, absolute, smooth } loss = Loss::squared;
  double width = 1;  ///< Of the smooth one.
  Answers answers = Answers::needed;
};

class Regression : public Task {
 public:
  /// `model` maps (B, features) to (B, targets); it must outlive the task.
  Regression(Module& model, const Split& split, const RegressionOptions& options);
  Module& module() override { return *model_; }
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Loss loss(Context& context, const Batch& batch) override;
  /// Behind loss and targets four sums for each column: |e|, e^2, y and y^2, of stored numbers in f64.
  std::vector<double> evaluate(Context& context, const Batch& batch) override;
  Evaluation interpret(std::vector<double> sums) const override;
  std::string report(const Evaluation& evaluation) const override { return regression_report(scores(evaluation)); }
  std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const override;

  /// Errors of each target in the units of its column.
  std::vector<TargetScore> scores(const Evaluation& evaluation) const;
  /// What the samples are, for messages: "rows of 4 features with 1 target".
  std::string samples_text() const;
  const std::vector<std::string>& names() const { return names_; }
  /// A stored number of target `t` in the units of its column.
  double in_units(std::size_t t, double stored) const { return stored * deviation_[t] + mean_[t]; }

 private:
  double loss_of(double difference) const;

  Module* model_;
  TableForm form_;
  RegressionOptions options_;
  std::vector<std::string> names_;
  std::vector<double> mean_, deviation_;
};

}  // namespace trireme
