#include "launcher/run/language_modeling.hpp"

#include <cmath>

#include "core/ops/linear_cross_entropy.hpp"
#include "core/ops/shape_ops.hpp"
#include "datasets/token_windows.hpp"

namespace trireme {

LanguageModeling::LanguageModeling(LanguageModel& model, LanguageModelingOptions options)
    : model_(&model), options_(std::move(options)) {
  if (options_.context < 1 || options_.context > model.context_length())
    fail(ExitCode::usage, "--context {}: the model takes sequences of 1 to {} tokens", options_.context,
         model.context_length());
}

void LanguageModeling::plan(Context& context, std::int64_t rows, DType) {
  const Tensor ids = Tensor::empty({rows, options_.context}, DType::i32, Device::meta());
  const Value hidden = model_->hidden(context, {.ids = ids});
  const Value head = model_->head(context);
  require(hidden.shape()[-1] == head.shape()[1], "the model's hidden states are {}, its head is {}", hidden.shape(),
          head.shape());
}

ops::CrossEntropyResult LanguageModeling::scored(Context& context, const Batch& batch) {
  TokenInput input{.ids = batch.field("tokens")};
  if (options_.documents == LanguageModelingOptions::Documents::apart)
    input.document_start = batch.field("document_start");
  const Value hidden = model_->hidden(context, input);
  const std::int64_t tokens = input.ids.elements();
  return ops::linear_cross_entropy(
      context, {ops::reshape(context, hidden, {tokens, hidden.shape()[-1]}), model_->head(context)},
      batch.field("labels").reshape({tokens}), {{.ignore = ignored_label}, options_.logits_bytes});
}

Task::Loss LanguageModeling::loss(Context& context, const Batch& batch) {
  const ops::CrossEntropyResult result = scored(context, batch);
  return {result.loss, result.totals.slice(1, 1)};
}

std::vector<double> LanguageModeling::evaluate(Context& context, const Batch& batch) {
  const ops::CrossEntropyResult result = scored(context, batch);
  return {result.loss_sum(), result.target_count(), result.correct()};
}

Task::Evaluation LanguageModeling::interpret(std::vector<double> sums) const {
  const double loss = sums[0] / sums[1];
  return {.loss = loss, .accuracy = sums[2] / sums[1], .perplexity = std::exp(loss), .sums = std::move(sums)};
}

Task::Work LanguageModeling::work() const {
  const auto tokens = static_cast<double>(options_.context);
  return {.tokens = tokens, .flops = tokens * model_->training_flops_per_token(options_.context)};
}

}  // namespace trireme
