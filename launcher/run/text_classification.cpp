#include "launcher/run/text_classification.hpp"

namespace trireme {

TextForm TextForm::of(const SampleSource& samples) {
  const auto type_of = [&](const char* field) {
    return samples.sample_fields().at(static_cast<std::size_t>(samples.sample_field(field))).type;
  };
  const RowType text = type_of("text"), length = type_of("length");
  if (text.dtype != DType::u8 || text.encoded() || text.shape.dims() != 1)
    fail(ExitCode::corrupt_input,
         "the field text of split {} is {} {}; wanted u8 (bytes): see trireme data import lines", samples.name(),
         name_of(text.dtype), text.shape.text());
  if (length.dtype != DType::i32 || length.shape.elements() != 1)
    fail(ExitCode::corrupt_input, "the field length of split {} is {} {}; wanted one i32 for each sample",
         samples.name(), name_of(length.dtype), length.shape.text());
  return {text.shape[0], static_cast<std::int64_t>(samples.class_names().size())};
}

void TextNetworkOptions::declare(OptionGroup& group) {
  group.add("cell", &cell, "what reads the bytes: lstm or gru", {{"lstm", ops::Cell::lstm}, {"gru", ops::Cell::gru}})
      .add("layers", &layers, "of the cell, one above the other", {.low = 1, .high = 64})
      .add("hidden", &hidden, "numbers in a state", {.low = 1, .high = 1 << 16})
      .add("embedding", &width, "numbers that stand for a byte", {.low = 1, .high = 1 << 16})
      .add("bidirectional", &bidirectional, "read from both ends")
      .add("dropout", &dropout, "share of values dropped between layers and before the head", {.low = 0, .high = 0.95});
}

SequenceClassifier TextNetworkOptions::make(const TextForm& form) const {
  using Directions = RecurrentLayerOptions::Directions;
  return SequenceClassifier({.classes = form.classes,
                             .width = width,
                             .cell = cell,
                             .hidden = hidden,
                             .recurrent = {.layers = layers,
                                           .directions = bidirectional ? Directions::both : Directions::forward,
                                           .dropout = dropout}});
}

TextClassification::TextClassification(SequenceClassifier& model, const SampleSource& samples, double label_smoothing)
    : ClassifierTask(model, samples, label_smoothing), network_(&model), form_(TextForm::of(samples)) {}

void TextClassification::plan(Context& context, std::int64_t rows, DType) {
  check_plan(network_->forward(context, Tensor::empty({rows, form_.longest}, DType::i32, Device::meta())), rows);
}

Value TextClassification::logits(Context& context, const Batch& batch) {
  return network_->apply(context, batch.field("text"), batch.field("length").reshape({batch.rows()}));
}

std::string TextClassification::samples_text() const { return fmt::format("texts of up to {} bytes", form_.longest); }

std::vector<FieldTransforms> TextClassification::transforms(DType, Mode) const { return {{"text", {widen()}}}; }

}  // namespace trireme
