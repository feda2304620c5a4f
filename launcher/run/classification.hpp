// Classification: field `label` (i32), cross-entropy, accuracy and a confusion matrix; of images, a field `image` (u8,
// H x W x C). Samples mixed of two have two labels: the loss is the sum of both, each times its share. Texts are in
// text_classification.hpp, tables in table_classification.hpp.
#pragma once

#include "datasets/dataset.hpp"
#include "datasets/image_transforms.hpp"
#include "datasets/sample_source.hpp"
#include "launcher/run/class_report.hpp"
#include "launcher/run/task.hpp"

namespace trireme {

/// What the images of a split, or of a mix of them, look like.
struct ImageForm {
  std::int64_t height = 0, width = 0, channels = 0, classes = 0;
  /// corrupt_input where the samples have no u8 field `image` of three dims, no i32 field `label`, or no class names.
  static ImageForm of(const SampleSource& samples);
};

struct ClassificationOptions {
  double label_smoothing = 0;
  /// Changes of training images, see image_changes().
  std::string augment = "none";
};

/// Cross-entropy over the classes of a split or a mix of them, whatever its samples are and whatever a network makes of
/// them.
class ClassifierTask : public Task {
 public:
  /// (B, classes) of a batch's samples.
  virtual Value logits(Context& context, const Batch& batch) = 0;
  /// What the samples are, for messages: "images of 28 x 28 x 1".
  virtual std::string samples_text() const = 0;
  Module& module() override { return *model_; }
  Loss loss(Context& context, const Batch& batch) override;
  std::vector<double> evaluate(Context& context, const Batch& batch) override;
  Evaluation interpret(std::vector<double> sums) const override;
  /// The confusion matrix and the scores of each class.
  std::string report(const Evaluation& evaluation) const override;
  ConfusionMatrix confusion(const Evaluation& evaluation) const;

 protected:
  /// `model` must outlive the task. corrupt_input where the samples have no i32 field `label` (which they need
  /// not have where answers are optional), or no class names.
  ClassifierTask(Module& model, const SampleSource& samples, double label_smoothing, Answers answers = Answers::needed);
  std::int64_t classes() const { return static_cast<std::int64_t>(class_names_.size()); }
  void check_plan(const Value& logits, std::int64_t rows) const;

 private:
  Module* model_;
  std::vector<std::string> class_names_;
  double smoothing_;
};

class Classification : public ClassifierTask {
 public:
  /// `model` maps (B, H, W, C) to logits (B, classes); it must outlive the task.
  Classification(Module& model, const SampleSource& samples, const ClassificationOptions& options);
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Value logits(Context& context, const Batch& batch) override;
  std::string samples_text() const override;
  const char* shown_field() const override { return "image"; }
  std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const override;
  PairMixing mixing() const override { return changes_.mixing; }

 private:
  ImageForm form_;
  ImageChanges changes_;
};

}  // namespace trireme
