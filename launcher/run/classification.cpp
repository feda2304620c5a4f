#include "launcher/run/classification.hpp"

#include "core/ops/cross_entropy.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/reduce.hpp"

namespace trireme {

ImageForm ImageForm::of(const SampleSource& samples) {
  ImageForm form;
  const auto type_of = [&](const char* field) {
    return samples.sample_fields().at(static_cast<std::size_t>(samples.sample_field(field))).type;
  };
  const RowType image = type_of("image"), label = type_of("label");
  if (image.dtype != DType::u8 || image.shape.dims() != 3)
    fail(ExitCode::corrupt_input, "the field image of split {} is {} {}; wanted u8 (height, width, channels)",
         samples.name(), name_of(image.dtype), image.shape.text());
  if (label.dtype != DType::i32 || label.shape.elements() != 1)
    fail(ExitCode::corrupt_input, "the field label of split {} is {} {}; wanted one i32 for each sample",
         samples.name(), name_of(label.dtype), label.shape.text());
  form.height = image.shape[0];
  form.width = image.shape[1];
  form.channels = image.shape[2];
  form.classes = static_cast<std::int64_t>(samples.class_names().size());
  if (form.classes < 2)
    fail(ExitCode::corrupt_input, "split {} names {} classes; a classifier needs at least 2 (import with --classes)",
         samples.name(), form.classes);
  return form;
}

Classification::Classification(Module& model, const SampleSource& samples, const ClassificationOptions& options)
    : model_(&model),
      form_(ImageForm::of(samples)),
      class_names_(samples.class_names()),
      options_(options),
      changes_(image_changes(options.augment)) {}

void Classification::plan(Context& context, std::int64_t rows, DType dtype) {
  const Shape shape{rows, form_.height, form_.width, form_.channels};
  const Value logits = model_->forward(context, Tensor::empty(shape, dtype, Device::meta()));
  require(logits.shape() == Shape{rows, form_.classes}, "the model gives {} for {} images of {} classes; wanted {}",
          logits.shape().text(), rows, form_.classes, Shape{rows, form_.classes}.text());
}

Task::Loss Classification::loss(Context& context, const Batch& batch) {
  const Value logits = model_->forward(context, batch.field("image"));
  const auto against = [&](const char* label, const Tensor& shares) {
    return ops::cross_entropy(context, logits, batch.field(label).reshape({batch.rows()}),
                              {.smoothing = options_.label_smoothing, .weights = shares});
  };
  if (!changes_.mixing.any()) {
    const auto result = against("label", {});
    return {result.loss, result.totals.slice(1, 1)};
  }
  const auto first = against("label", batch.field("label_weight"));
  const auto second = against("label2", batch.field("label2_weight"));
  const Value targets = ops::add(context, first.totals.slice(1, 1), second.totals.slice(1, 1));
  return {ops::add(context, first.loss, second.loss), targets.tensor()};
}

std::vector<double> Classification::evaluate(Context& context, const Batch& batch) {
  const Value logits = model_->forward(context, batch.field("image"));
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
  Evaluation out{.loss = sums[0] / sums[1], .accuracy = 0, .sums = std::move(sums)};
  out.accuracy = trireme::accuracy(confusion(out));
  return out;
}

ConfusionMatrix Classification::confusion(const Evaluation& evaluation) const {
  ConfusionMatrix matrix{.names = class_names_, .counts = {}};
  for (std::size_t k = 2; k < evaluation.sums.size(); ++k)
    matrix.counts.push_back(static_cast<std::int64_t>(evaluation.sums[k]));
  return matrix;
}

std::vector<FieldTransforms> Classification::transforms(DType dtype, Mode mode) const {
  TransformList list;
  if (mode == Mode::train) list = changes_.list;
  list.push_back(normalise({.scale = 1.0 / 255, .mean = {0.5}, .deviation = {0.5}, .to = dtype}));
  return {{"image", std::move(list)}};
}

}  // namespace trireme
