#include "launcher/run/classification.hpp"

#include <algorithm>

#include "core/ops/cross_entropy.hpp"
#include "core/ops/reduce.hpp"
#include "datasets/image_transforms.hpp"
#include "launcher/run/table_form.hpp"

namespace trireme {

ImageForm ImageForm::of(const Split& split) {
  ImageForm form;
  const FieldSpec& image = split.fields().at(static_cast<std::size_t>(split.field_index("image")));
  const FieldSpec& label = split.fields().at(static_cast<std::size_t>(split.field_index("label")));
  if (image.dtype != DType::u8 || image.row.dims() != 3)
    fail(ExitCode::corrupt_input, "the field image of split {} is {} {}; wanted u8 (height, width, channels)",
         split.name(), name_of(image.dtype), image.row.text());
  if (label.dtype != DType::i32 || label.row.elements() != 1)
    fail(ExitCode::corrupt_input, "the field label of split {} is {} {}; wanted one i32 for each sample", split.name(),
         name_of(label.dtype), label.row.text());
  form.height = image.row[0];
  form.width = image.row[1];
  form.channels = image.row[2];
  form.classes = static_cast<std::int64_t>(split.class_names().size());
  if (form.classes < 2)
    fail(ExitCode::corrupt_input, "split {} names {} classes; a classifier needs at least 2 (import with --classes)",
         split.name(), form.classes);
  return form;
}

SampleForm SampleForm::of(const Split& split) {
  const auto named = [](const FieldSpec& field) { return field.name == "image"; };
  if (std::ranges::any_of(split.fields(), named) ||
      !std::ranges::any_of(split.fields(), [](const FieldSpec& field) { return field.name == "x"; })) {
    const ImageForm form = ImageForm::of(split);
    return {"image", Shape{form.height, form.width, form.channels}, form.classes};
  }
  const TableForm form = TableForm::of(split);
  if (form.task != TableForm::Task::classes)
    fail(ExitCode::usage, "split {} has numbers to be predicted (y), no classes", split.name());
  return {"x", Shape{form.features}, form.outputs};
}

Classification::Classification(Module& model, const Split& split, const ClassificationOptions& options)
    : model_(&model), form_(SampleForm::of(split)), class_names_(split.class_names()), options_(options) {}

void Classification::plan(Context& context, std::int64_t rows, DType dtype) {
  std::vector<std::int64_t> extents{rows};
  extents.insert(extents.end(), form_.row.extents().begin(), form_.row.extents().end());
  const Shape shape{std::span<const std::int64_t>(extents)};
  const Value logits = model_->forward(context, Tensor::empty(shape, dtype, Device::meta()));
  require(logits.shape() == Shape{rows, form_.classes}, "the model gives {} for {} samples of {} classes; wanted {}",
          logits.shape().text(), rows, form_.classes, Shape{rows, form_.classes}.text());
}

Task::Loss Classification::loss(Context& context, const Batch& batch) {
  const Value logits = model_->forward(context, batch.field(form_.field));
  const auto result = ops::cross_entropy(context, logits, batch.field("label").reshape({batch.rows()}),
                                         {.smoothing = options_.label_smoothing});
  return {result.loss, result.totals.slice(1, 1)};
}

std::vector<double> Classification::evaluate(Context& context, const Batch& batch) {
  const Value logits = model_->forward(context, batch.field(form_.field));
  const Tensor labels = batch.field("label").reshape({batch.rows()});
  const auto result = ops::cross_entropy(context, logits, labels, {.weights = batch.weight()});
  const auto predicted = ops::argmax(context, logits.tensor()).to_vector<std::int32_t>();
  std::vector<double> sums(static_cast<std::size_t>(2 + form_.classes * form_.classes), 0.0);
  sums[0] = result.loss_sum();
  sums[1] = result.target_count();
  const auto truth = labels.to_vector<std::int32_t>();
  const auto weight = batch.weight().to_vector<float>();
  for (std::size_t row = 0; row < truth.size(); ++row) {
    if (weight[row] == 0) continue;  // padding: its label was not checked
    sums[static_cast<std::size_t>(2 + truth[row] * form_.classes + predicted[row])] += static_cast<double>(weight[row]);
  }
  return sums;
}

Task::Evaluation Classification::interpret(std::vector<double> sums) const {
  Evaluation out{.loss = sums[0] / sums[1], .sums = std::move(sums)};
  out.accuracy = trireme::accuracy(confusion(out));
  return out;
}

ConfusionMatrix Classification::confusion(const Evaluation& evaluation) const {
  ConfusionMatrix matrix{.names = class_names_, .counts = {}};
  for (std::size_t k = 2; k < evaluation.sums.size(); ++k)
    matrix.counts.push_back(static_cast<std::int64_t>(evaluation.sums[k]));
  return matrix;
}

std::string Classification::report(const Evaluation& evaluation) const {
  const ConfusionMatrix matrix = confusion(evaluation);
  return fmt::format("{}\n{}", confusion_table(matrix), class_report(matrix));
}

std::vector<FieldTransforms> Classification::transforms(DType dtype, Mode mode) const {
  if (!form_.is_image()) return {{form_.field, {normalise({.scale = 1, .mean = {0}, .deviation = {1}, .to = dtype})}}};
  TransformList list;
  if (mode == Mode::train) list = augmentation(options_.augment);
  list.push_back(normalise({.scale = 1.0 / 255, .mean = {0.5}, .deviation = {0.5}, .to = dtype}));
  return {{form_.field, std::move(list)}};
}

}  // namespace trireme
