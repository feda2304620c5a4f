// What a network is trained for: the loss of a batch, and what is counted when it is evaluated. The trainer knows
// tasks, not networks.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/nn/module.hpp"
#include "datasets/loader.hpp"

namespace trireme {

/// Whether samples must say what is to be predicted of them, or may leave it open (`trireme predict`).
enum class Answers : std::uint8_t { needed, optional };

class Task {
 public:
  struct Loss {
    Value sum;       ///< One element: the sum over this part's targets, so that parts add up.
    Tensor targets;  ///< f64 (1), where the sum is: how many (weighted) targets it is over.
  };
  /// Numbers about one evaluated split, already divided.
  struct Evaluation {
    double loss = 0;
    std::optional<double> accuracy = {};                            ///< 0 to 1, of classifiers and language models.
    std::optional<double> perplexity = {};                          ///< exp(loss), of language models.
    std::optional<double> absolute_error = {}, squared_error = {};  ///< Means, of regressions.
    std::vector<double> sums;  ///< What evaluate() returned, added over batches and parts.
  };

  /// What the work on one sample amounts to, for rates; zeros: it is not counted.
  struct Work {
    double tokens = 0;
    double flops = 0;  ///< Of forward and backward, as the model counts them.
  };

  virtual ~Task() = default;
  virtual Module& module() = 0;
  /// A forward pass on shapes alone, with `rows` samples whose numbers are `dtype`.
  virtual void plan(Context& context, std::int64_t rows, DType dtype) = 0;
  virtual Loss loss(Context& context, const Batch& batch) = 0;
  /// Sums over the batch, always as many; rows of weight 0 count nothing. The first two are the loss and the targets.
  virtual std::vector<double> evaluate(Context& context, const Batch& batch) = 0;
  virtual Evaluation interpret(std::vector<double> sums) const = 0;
  /// What is worth telling people of an evaluation, in lines. May be empty.
  virtual std::string report(const Evaluation&) const { return {}; }
  /// The field of a batch that is worth looking at as images; null: none.
  virtual const char* shown_field() const { return nullptr; }
  virtual Work work() const { return {}; }
  /// Samples of one call of evaluate() over all parts, where training takes micro-batches of `micro`.
  virtual std::int64_t evaluation_batch(std::int64_t micro) const { return std::max<std::int64_t>(micro, 256); }
  /// Something to look at after each validation: printed by the leading rank, which alone calls it. May be empty.
  virtual std::string sample(Context&) { return {}; }
  /// How the data set's fields become the batch's, in training and in evaluation.
  virtual std::vector<FieldTransforms> transforms(DType dtype, Mode mode) const = 0;
  /// How training samples are then mixed with one another.
  virtual PairMixing mixing() const { return {}; }
};

}  // namespace trireme
