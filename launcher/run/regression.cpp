#include "launcher/run/regression.hpp"

#include <cmath>

#include "core/ops/losses.hpp"

namespace trireme {
namespace {

constexpr std::size_t leading_sums = 2, sums_per_target = 4;

std::vector<double> doubles_of(const Tensor& tensor) {
  std::vector<double> out;
  with_floating(tensor.dtype(), "regression", [&](auto zero) {
    for (const auto value : tensor.to_vector<decltype(zero)>()) out.push_back(static_cast<double>(value));
  });
  return out;
}

}  // namespace

Regression::Regression(Module& model, const Split& split, const RegressionOptions& options)
    : model_(&model), form_(TableForm::of(split, options.answers)), options_(options) {
  if (form_.task != TableForm::Task::regression)
    fail(ExitCode::usage, "split {} has classes, no numbers to be predicted: there is no field y", split.name());
  const auto targets = static_cast<std::size_t>(form_.outputs);
  mean_.assign(targets, 0);
  deviation_.assign(targets, 1);
  const auto& table = split.table();
  for (std::size_t t = 0; !table && t < targets; ++t) names_.push_back(targets == 1 ? "y" : fmt::format("y[{}]", t));
  if (!table) return;
  names_ = table->targets;
  if (!table->target_scaling.mean.empty()) {
    mean_ = table->target_scaling.mean;
    deviation_ = table->target_scaling.deviation;
  }
}

void Regression::plan(Context& context, std::int64_t rows, DType dtype) {
  const Value out = model_->forward(context, Tensor::empty({rows, form_.features}, dtype, Device::meta()));
  const Shape want{rows, form_.outputs};
  require(out.shape() == want, "the model gives {} for {} rows with {} targets; wanted {}", out.shape().text(), rows,
          form_.outputs, want.text());
}

Task::Loss Regression::loss(Context& context, const Batch& batch) {
  const Value predicted = model_->forward(context, batch.field("x"));
  const ops::PointTargets targets{batch.field("y").reshape({batch.rows(), form_.outputs})};
  const auto result = options_.loss == RegressionOptions::Loss::squared ? ops::squared_loss(context, predicted, targets)
                      : options_.loss == RegressionOptions::Loss::absolute
                          ? ops::absolute_loss(context, predicted, targets)
                          : ops::smooth_l1_loss(context, predicted, targets, options_.width);
  return {result.loss, result.totals.slice(1, 1)};
}

double Regression::loss_of(double difference) const {
  const double size = std::abs(difference);
  if (options_.loss == RegressionOptions::Loss::squared) return size * size;
  if (options_.loss == RegressionOptions::Loss::absolute) return size;
  return size < options_.width ? size * size / (2 * options_.width) : size - options_.width / 2;
}

std::vector<double> Regression::evaluate(Context& context, const Batch& batch) {
  const auto targets = static_cast<std::size_t>(form_.outputs);
  const std::vector<double> predicted = doubles_of(model_->forward(context, batch.field("x")).tensor());
  const std::vector<double> truth = doubles_of(batch.field("y"));
  const auto weights = batch.weight().to_vector<float>();
  std::vector<double> sums(leading_sums + targets * sums_per_target, 0.0);
  for (std::size_t row = 0; row < weights.size(); ++row) {
    if (weights[row] == 0) continue;  // filled up
    for (std::size_t t = 0; t < targets; ++t) {
      const double y = truth[row * targets + t], difference = predicted[row * targets + t] - y;
      sums[0] += loss_of(difference);
      sums[1] += 1;
      double* const column = sums.data() + leading_sums + t * sums_per_target;
      column[0] += std::abs(difference);
      column[1] += difference * difference;
      column[2] += y;
      column[3] += y * y;
    }
  }
  return sums;
}

std::string Regression::samples_text() const {
  return fmt::format("rows of {} features with {} target{}", form_.features, form_.outputs,
                     form_.outputs == 1 ? "" : "s");
}

std::vector<TargetScore> Regression::scores(const Evaluation& evaluation) const {
  std::vector<TargetScore> out;
  const double rows = evaluation.sums[1] / static_cast<double>(names_.size());
  for (std::size_t t = 0; t < names_.size(); ++t) {
    const double* const column = evaluation.sums.data() + leading_sums + t * sums_per_target;
    const double spread = column[3] - column[2] * column[2] / rows;
    out.push_back({.name = names_[t],
                   .absolute_error = deviation_[t] * column[0] / rows,
                   .squared_error = deviation_[t] * deviation_[t] * column[1] / rows,
                   .r2 = spread > 1e-12 * column[3] ? 1 - column[1] / spread : std::nan("")});
  }
  return out;
}

Task::Evaluation Regression::interpret(std::vector<double> sums) const {
  Evaluation out{.loss = sums[0] / sums[1], .sums = std::move(sums)};
  const TargetScore mean = mean_score(scores(out));
  out.absolute_error = mean.absolute_error;
  out.squared_error = mean.squared_error;
  return out;
}

std::vector<FieldTransforms> Regression::transforms(DType dtype, Mode mode) const {
  // Errors are those against what is stored: it is rounded only where the loss is computed in 16 bits.
  const DType judged = dtype == DType::f64 ? DType::f64 : DType::f32;
  const auto as = [](DType to) { return normalise({.scale = 1, .mean = {0}, .deviation = {1}, .to = to}); };
  std::vector<FieldTransforms> out{{"x", {as(dtype)}}};
  if (form_.answered) out.push_back({"y", {as(mode == Mode::train ? dtype : judged)}});
  return out;
}

}  // namespace trireme
