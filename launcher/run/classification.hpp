// Classification of images, field `image` (u8, H x W x C), or of the rows of a table, field `x` (features); `label`
// (i32) is the class. Cross-entropy, accuracy and a confusion matrix.
#pragma once

#include "datasets/dataset.hpp"
#include "launcher/run/class_report.hpp"
#include "launcher/run/task.hpp"

namespace trireme {

/// What the images of a split look like.
struct ImageForm {
  std::int64_t height = 0, width = 0, channels = 0, classes = 0;
  /// corrupt_input where the split has no u8 field `image` of three dims, no i32 field `label`, or no class names.
  static ImageForm of(const Split& split);
};

/// What a classifier sees of a sample.
struct SampleForm {
  const char* field = "image";
  Shape row;
  std::int64_t classes = 0;
  /// As ImageForm where there is a field `image`, else as TableForm.
  static SampleForm of(const Split& split);
  bool is_image() const { return row.dims() == 3; }
};

struct ClassificationOptions {
  double label_smoothing = 0;
  /// Changes of training images, see augmentation().
  std::string augment = "none";
};

class Classification : public Task {
 public:
  /// `model` maps (B, H, W, C), or (B, features), to logits (B, classes); it must outlive the task.
  Classification(Module& model, const Split& split, const ClassificationOptions& options);
  Module& module() override { return *model_; }
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Loss loss(Context& context, const Batch& batch) override;
  std::vector<double> evaluate(Context& context, const Batch& batch) override;
  Evaluation interpret(std::vector<double> sums) const override;
  const char* shown_field() const override { return form_.is_image() ? form_.field : nullptr; }
  std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const override;
  /// The confusion matrix and the scores of each class.
  std::string report(const Evaluation& evaluation) const override;
  ConfusionMatrix confusion(const Evaluation& evaluation) const;

 private:
  Module* model_;
  SampleForm form_;
  std::vector<std::string> class_names_;
  ClassificationOptions options_;
};

}  // namespace trireme
