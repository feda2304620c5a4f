#include "launcher/run/classification.hpp"

#include "core/ops/cross_entropy.hpp"
#include "core/ops/reduce.hpp"
#include "datasets/image_transforms.hpp"

namespace trireme {
namespace {

void check_classes(const Split& split) {
  const FieldSpec& label = split.fields().at(static_cast<std::size_t>(split.field_index("label")));
  if (label.dtype != DType::i32 || label.ragged() || label.row.elements() != 1)
    fail(ExitCode::corrupt_input, "the field label of split {} is {} {}; wanted one i32 for each sample", split.name(),
         name_of(label.dtype), label.row.text());
  if (split.class_names().size() < 2)
    fail(ExitCode::corrupt_input, "split {} names {} classes; a classifier needs at least 2 (import with --classes)",
         split.name(), split.class_names().size());
}

}  // namespace

ImageForm ImageForm::of(const Split& split) {
  ImageForm form;
  const FieldSpec& image = split.fields().at(static_cast<std::size_t>(split.field_index("image")));
  if (image.dtype != DType::u8 || image.row.dims() != 3)
    fail(ExitCode::corrupt_input, "the field image of split {} is {} {}; wanted u8 (height, width, channels)",
         split.name(), name_of(image.dtype), image.row.text());
  check_classes(split);
  form.height = image.row[0];
  form.width = image.row[1];
  form.channels = image.row[2];
  form.classes = static_cast<std::int64_t>(split.class_names().size());
  return form;
}

ClassifierTask::ClassifierTask(Module& model, const Split& split, double label_smoothing)
    : model_(&model), class_names_(split.class_names()), smoothing_(label_smoothing) {
  check_classes(split);
}

void ClassifierTask::check_plan(const Value& logits, std::int64_t rows) const {
  require(logits.shape() == Shape{rows, classes()}, "the model gives {} for {} samples of {} classes; wanted {}",
          logits.shape().text(), rows, classes(), Shape{rows, classes()}.text());
}

Task::Loss ClassifierTask::loss(Context& context, const Batch& batch) {
  const auto result = ops::cross_entropy(context, logits(context, batch), batch.field("label").reshape({batch.rows()}),
                                         {.smoothing = smoothing_});
  return {result.loss, result.totals.slice(1, 1)};
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

Classification::Classification(Module& model, const Split& split, const ClassificationOptions& options)
    : ClassifierTask(model, split, options.label_smoothing), form_(ImageForm::of(split)), augment_(options.augment) {}

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
  if (mode == Mode::train) list = augmentation(augment_);
  list.push_back(normalise({.scale = 1.0 / 255, .mean = {0.5}, .deviation = {0.5}, .to = dtype}));
  return {{"image", std::move(list)}};
}

}  // namespace trireme
