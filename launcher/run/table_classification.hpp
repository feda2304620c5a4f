// Classification of the rows of a table: fields `x` (features) and `label` (i32); see table_form.hpp.
#pragma once

#include "launcher/run/classification.hpp"
#include "launcher/run/table_form.hpp"

namespace trireme {

class TableClassification : public ClassifierTask {
 public:
  /// `model` maps (B, features) to logits (B, classes); it must outlive the task. usage where the split has numbers to
  /// be predicted (y) and no classes.
  TableClassification(Module& model, const Split& split, double label_smoothing, Answers answers = Answers::needed);
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Value logits(Context& context, const Batch& batch) override;
  std::string samples_text() const override;
  std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const override;

 private:
  TableForm form_;
};

}  // namespace trireme
