#include "launcher/run/table_classification.hpp"

namespace trireme {
namespace {

/// The split, where it is a table with classes. Looked at before its label is: a table of numbers has none.
const Split& checked_table(const Split& split, Answers answers) {
  if (TableForm::of(split, answers).task != TableForm::Task::classes)
    fail(ExitCode::usage, "split {} has numbers to be predicted (y), no classes", split.name());
  return split;
}

}  // namespace

TableClassification::TableClassification(Module& model, const Split& split, double label_smoothing, Answers answers)
    : ClassifierTask(model, checked_table(split, answers), label_smoothing, answers),
      form_(TableForm::of(split, answers)) {}

void TableClassification::plan(Context& context, std::int64_t rows, DType dtype) {
  check_plan(module().forward(context, Tensor::empty({rows, form_.features}, dtype, Device::meta())), rows);
}

Value TableClassification::logits(Context& context, const Batch& batch) {
  return module().forward(context, batch.field("x"));
}

std::string TableClassification::samples_text() const { return fmt::format("rows of {} features", form_.features); }

std::vector<FieldTransforms> TableClassification::transforms(DType dtype, Mode) const {
  return {{"x", {normalise({.scale = 1, .mean = {0}, .deviation = {1}, .to = dtype})}}};
}

}  // namespace trireme
