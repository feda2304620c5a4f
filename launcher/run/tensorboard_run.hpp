// What a training run shows in TensorBoard: its records as scalars, and every so many steps a histogram of each
// gradient and a few images of the batch. The leading rank owns it, next to the MetricsWriter. Like the writer below
// it, it never ends a training: what cannot be shown is left out.
#pragma once

#include <string>
#include <vector>

#include "core/nn/arena.hpp"
#include "launcher/run/metrics.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/tensorboard.hpp"

namespace trireme {

struct TensorBoardRunSettings {
  std::string folder = {};      ///< RUN/tensorboard
  std::int64_t first_step = 0;  ///< Resumed at.
  std::int64_t every = 0;       ///< Steps between histograms and images; 0: none.
};

/// The gradients of a step, as the trainer holds them before the next step begins.
struct GradientPlane {
  Tensor plane = {};  ///< (layout.trained_elements()), on any device
  double scale = 1;   ///< Makes them those of the mean loss, unclipped.
};

class TensorBoardRun {
 public:
  explicit TensorBoardRun(const TensorBoardRunSettings& settings);

  /// The options as used, as a table: the text `hyperparameters`.
  void hyperparameters(const std::vector<ResolvedOption>& options);
  /// train/loss, train/learning_rate, train/gradient_norm, train/samples_per_second; where they are counted
  /// train/tokens_per_second and train/utilisation.
  void step(const StepRecord& record);
  /// validation/loss, validation/accuracy (0 to 1), of language models validation/perplexity, of regressions
  /// validation/absolute_error and validation/squared_error.
  void validation(const ValidationRecord& record);

  /// Whether this step's gradients and images are wanted.
  bool details_due(std::int64_t step) const;
  /// One histogram a trained parameter: gradients/NAME.
  void gradients(std::int64_t step, const ArenaLayout& layout, const GradientPlane& gradients);
  /// train/images: the first 8 images of a batch (B, H, W, C) in a row. Floats are stretched together so that the
  /// smallest value becomes 0 and the largest 255. 1, 3 or 4 channels are grey, RGB or RGBA; of others the first is
  /// shown. Tensors of other dims are no images and left out.
  void images(std::int64_t step, const Tensor& batch);
  void flush() { writer_.flush(); }

 private:
  TensorBoardWriter writer_;
  std::int64_t every_;
};

/// A Markdown table of option, value and origin for each group of options.
std::string options_table(const std::vector<ResolvedOption>& options);

}  // namespace trireme
