// Language modelling: predict the next token. Fields `tokens` and `labels` (i32, rows x T; label -1 counts for nothing)
// and perhaps `document_start` (datasets/token_windows.hpp); loss, perplexity, share of tokens predicted first.
#pragma once

#include <functional>

#include "core/models/language_model.hpp"
#include "core/ops/cross_entropy.hpp"
#include "datasets/token_windows.hpp"
#include "launcher/run/task.hpp"

namespace trireme {

struct LanguageModelingOptions {
  std::int64_t context = 0;  ///< T
  /// More logits than this are never in memory at once, see ops::LinearCrossEntropyOptions.
  std::int64_t logits_bytes = std::int64_t{128} << 20;
  /// Attention stays inside documents: the batch has the field `document_start`.
  using Documents = TokenWindowOptions::Documents;
  Documents documents = Documents::joined;
  /// What Task::sample() gives.
  std::function<std::string(Context&)> sample = nullptr;
};

class LanguageModeling : public Task {
 public:
  /// `model` must outlive the task. Error(usage) where `context` is longer than the model's.
  LanguageModeling(LanguageModel& model, LanguageModelingOptions options);
  Module& module() override { return *model_; }
  void plan(Context& context, std::int64_t rows, DType dtype) override;
  Loss loss(Context& context, const Batch& batch) override;
  std::vector<double> evaluate(Context& context, const Batch& batch) override;
  Evaluation interpret(std::vector<double> sums) const override;
  Work work() const override;
  std::int64_t evaluation_batch(std::int64_t micro) const override { return micro; }
  std::string sample(Context& context) override { return options_.sample ? options_.sample(context) : std::string(); }
  std::vector<FieldTransforms> transforms(DType, Mode) const override { return {}; }

 private:
  ops::CrossEntropyResult scored(Context& context, const Batch& batch);

  LanguageModel* model_;
  LanguageModelingOptions options_;
};

}  // namespace trireme
