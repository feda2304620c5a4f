#include "launcher/run/classification.hpp"

#include "core/ops/cross_entropy.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/reduce.hpp"

namespace trireme {
namespace {

RowType type_of(const SampleSource& samples, const char* field) {
  return samples.sample_fields().at(static_cast<std::size_t>(samples.sample_field(field))).type;
}

void check_label(const SampleSource& samples) {
  const RowType label = type_of(samples, "label");
  if (label.dtype != DType::i32 || label.shape.elements() != 1)
    fail(ExitCode::corrupt_input, "the field label of split {} is {} {}; wanted one i32 for each sample",
         samples.name(), name_of(label.dtype), label.shape.text());
}

void check_names(const SampleSource& samples) {
  if (samples.class_names().size() < 2)
    fail(ExitCode::corrupt_input, "split {} names {} classes; a classifier needs at least 2 (import with --classes)",
         samples.name(), samples.class_names().size());
}

}  // namespace

ImageForm ImageForm::of(const SampleSource& samples) {
  ImageForm form;
  const RowType image = type_of(samples, "image");
  if (image.dtype != DType::u8 || image.shape.dims() != 3)
    fail(ExitCode::corrupt_input, "the field image of split {} is {} {}; wanted u8 (height, width, channels)",
         samples.name(), name_of(image.dtype), image.shape.text());
  check_label(samples);
  check_names(samples);
  form.height = image.shape[0];
  form.width = image.shape[1];
  form.channels = image.shape[2];
  form.classes = static_cast<std::int64_t>(samples.class_names().size());
  return form;
}

ClassifierTask::ClassifierTask(Module& model, const SampleSource& samples, double label_smoothing, Answers answers)
    : model_(&model), class_names_(samples.class_names()), smoothing_(label_smoothing) {
  if (answers == Answers::needed) check_label(samples);
  check_names(samples);
}

void ClassifierTask::check_plan(const Value& logits, std::int64_t rows) const {
  require(logits.shape() == Shape{rows, classes()}, "the model gives {} for {} samples of {} classes; wanted {}",
          logits.shape().text(), rows, classes(), Shape{rows, classes()}.text());
}

Task::Loss ClassifierTask::loss(Context& context, const Batch& batch) {
  const Value scores = logits(context, batch);
  const auto against = [&](const char* label, const Tensor& shares) {
    return ops::cross_entropy(context, scores, batch.field(label).reshape({batch.rows()}),
                              {.smoothing = smoothing_, .weights = shares});
  };
  if (!mixing().any()) {
    const auto result = against("label", {});
    return {result.loss, result.totals.slice(1, 1)};
  }
  const auto first = against("label", batch.field("label_weight"));
  const auto second = against("label2", batch.field("label2_weight"));
  const Value targets = ops::add(context, first.totals.slice(1, 1), second.totals.slice(1, 1));
  return {ops::add(context, first.loss, second.loss), targets.tensor()};
}

std::vector<double> ClassifierTask::evaluate(Context& context, const Batch& batch) {
  const Value scores = logits(context, batch);
  const Tensor labels = batch.field("label").reshape({batch.rows()});
  const auto result = ops::cross_entropy(context, scores, labels, {.weights = batch.weight()});
  const auto predicted = ops::argmax(context, scores.tensor()).to_vector<std::int32_t>();
  std::vector<double> sums(static_cast<std::size_t>(2 + classes() * classes()), 0.0);
  sums[0] = result.loss_sum();
  sums[1] = result.target_count();
  const auto truth = labels.to_vector<std::int32_t>();
  const auto weight = batch.weight().to_vector<float>();
  for (std::size_t row = 0; row < truth.size(); ++row) {
    if (weight[row] == 0) continue;  // padding: its label was not checked
    sums[static_cast<std::size_t>(2 + truth[row] * classes() + predicted[row])] += static_cast<double>(weight[row]);
  }
  return sums;
}

Task::Evaluation ClassifierTask::interpret(std::vector<double> sums) const {
  Evaluation out{.loss = sums[0] / sums[1], .sums = std::move(sums)};
  out.accuracy = trireme::accuracy(confusion(out));
  return out;
}

ConfusionMatrix ClassifierTask::confusion(const Evaluation& evaluation) const {
  ConfusionMatrix matrix{.names = class_names_, .counts = {}};
  for (std::size_t k = 2; k < evaluation.sums.size(); ++k)
    matrix.counts.push_back(static_cast<std::int64_t>(evaluation.sums[k]));
  return matrix;
}

std::string ClassifierTask::report(const Evaluation& evaluation) const {
  const ConfusionMatrix matrix = confusion(evaluation);
  return fmt::format("{}\n{}", confusion_table(matrix), class_report(matrix));
}

Classification::Classification(Module& model, const SampleSource& samples, const ClassificationOptions& options)
    : ClassifierTask(model, samples, options.label_smoothing),
      form_(ImageForm::of(samples)),
      changes_(image_changes(options.augment)) {}

void Classification::plan(Context& context, std::int64_t rows, DType dtype) {
  const Shape shape{rows, form_.height, form_.width, form_.channels};
  check_plan(module().forward(context, Tensor::empty(shape, dtype, Device::meta())), rows);
}

Value Classification::logits(Context& context, const Batch& batch) {
  return module().forward(context, batch.field("image"));
}

std::string Classification::samples_text() const {
  return fmt::format("images of {} x {} x {}", form_.height, form_.width, form_.channels);
}

std::vector<FieldTransforms> Classification::transforms(DType dtype, Mode mode) const {
  TransformList list;
  if (mode == Mode::train) list = changes_.list;
  list.push_back(normalise({.scale = 1.0 / 255, .mean = {0.5}, .deviation = {0.5}, .to = dtype}));
  return {{"image", std::move(list)}};
}

}  // namespace trireme
