// Image classification: fields `image` (u8, H x W x C) and `label` (i32), cross-entropy, accuracy and a confusion
// matrix. Images mixed of two have two labels: the loss is the sum of both, each times its share.
#pragma once

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

class Classification : public Task {
 public:
  /// `model` maps (B, H, W, C) to logits (B, classes); it must outlive the task.
  Classification(Module& model, const SampleSource& samples, const ClassificationOptions& options);
  Module& module() override { return *model_; }
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Loss loss(Context& context, const Batch& batch) override;
  std::vector<double> evaluate(Context& context, const Batch& batch) override;
  Evaluation interpret(std::vector<double> sums) const override;
  const char* shown_field() const override { return "image"; }
  std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const override;
  PairMixing mixing() const override { return changes_.mixing; }
  ConfusionMatrix confusion(const Evaluation& evaluation) const;

 private:
  Module* model_;
  ImageForm form_;
  std::vector<std::string> class_names_;
  ClassificationOptions options_;
  ImageChanges changes_;
};

}  // namespace trireme
