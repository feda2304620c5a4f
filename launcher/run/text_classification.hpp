// Classification of texts: fields `text` (u8, bytes with padding behind them), `length` (i32) and `label` (i32)
// (datasets/text_samples.hpp), judged by a recurrent network that reads the bytes.
#pragma once

#include "core/models/sequence_classifier.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

/// What the texts of a split, or of a mix of them, look like.
struct TextForm {
  std::int64_t longest = 0, classes = 0;
  /// corrupt_input where the samples have no u8 field `text` of one dim or no i32 field `length`.
  static TextForm of(const SampleSource& samples);
};

/// The options that choose the network.
struct TextNetworkOptions {
  ops::Cell cell = ops::Cell::lstm;
  std::int64_t layers = 1, hidden = 128, width = 32;
  bool bidirectional = false;
  double dropout = 0;

  void declare(OptionGroup& group);
  SequenceClassifier make(const TextForm& form) const;
};

class TextClassification : public ClassifierTask {
 public:
  /// `model` must outlive the task.
  TextClassification(SequenceClassifier& model, const SampleSource& samples, double label_smoothing);
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Value logits(Context& context, const Batch& batch) override;
  std::string samples_text() const override;
  std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const override;

 private:
  SequenceClassifier* network_;
  TextForm form_;
};

}  // namespace trireme
