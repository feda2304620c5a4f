#include "launcher/run/choice_scoring.hpp"

#include "core/ops/linear_cross_entropy.hpp"

namespace trireme {
namespace {

using ops::linear_cross_entropy;
using Ids = std::vector<std::int32_t>;

}  // namespace

ScoredItem score_choices(LanguageModel& model, Context& context, const Tokenizer& tokenizer,
                         const MultipleChoiceItem& item) {
  ScoredItem out;
  const auto longest = static_cast<std::size_t>(model.context_length());
  for (std::size_t k = 0; k < item.choices.size(); ++k) {
    Ids before = tokenizer.encode(item.context);
    // A model of words sees a choice as it would stand in a text: after a space.
    const std::string& text = item.choices[k];
    const bool joined = item.context.empty() || item.context.ends_with(' ') || text.starts_with(' ');
    const Ids choice = tokenizer.encode(joined ? text : " " + text);
    if (choice.empty() || choice.size() >= longest)
      fail(ExitCode::corrupt_input, "choice {} has {} tokens; the model of context {} can judge 1 to {}", k + 1,
           choice.size(), longest, longest - 1);
    if (before.empty()) before.push_back(tokenizer.end_of_text().value_or(0));
    const std::size_t room = longest + 1 - choice.size();  // the last token of a choice is only predicted
    if (before.size() > room) {
      before.erase(before.begin(), before.end() - static_cast<std::ptrdiff_t>(room));
      out.shortened = true;
    }
    Ids all = before;
    all.insert(all.end(), choice.begin(), choice.end() - 1);
    const auto tokens = static_cast<std::int64_t>(all.size()), predicted = static_cast<std::int64_t>(choice.size());
    const Tensor hidden = model.hidden(context, {.ids = Tensor::from(all, {1, tokens}, context.device())}).tensor();
    const Tensor rows = hidden.reshape({tokens, hidden.shape()[2]}).slice(tokens - predicted, predicted);
    const Tensor labels = Tensor::from(choice, {predicted}, context.device());
    out.log_probabilities.push_back(-linear_cross_entropy(context, {rows, model.head(context)}, labels).loss_sum());
    out.bytes.push_back(static_cast<std::int64_t>(text.size()));
  }
  return out;
}

namespace {

/// An Error says which question it is about.
ScoredItem scored_question(LanguageModel& model, Context& context, const Tokenizer& tokenizer,
                           const std::pair<std::size_t, const MultipleChoiceItem*>& number_and_item) {
  try {
    return score_choices(model, context, tokenizer, *number_and_item.second);
  } catch (const Error& error) {
    throw Error(fmt::format("question {}: {}", number_and_item.first, error.what()), error.code());
  }
}

}  // namespace

ChoiceScores score_all(LanguageModel& model, Context& context, const Tokenizer& tokenizer,
                       const std::pair<Communicator*, const std::vector<MultipleChoiceItem>*>& ranks_and_items) {
  const auto& [ranks, items] = ranks_and_items;
  context.begin_eval();
  std::vector<double> sums(4, 0.0);
  for (auto k = static_cast<std::size_t>(ranks->rank()); k < items->size();
       k += static_cast<std::size_t>(ranks->size())) {
    const MultipleChoiceItem& item = (*items)[k];
    const ScoredItem scored = scored_question(model, context, tokenizer, {k + 1, &item});
    const auto best = [&](auto&& score) {
      std::size_t at = 0;
      for (std::size_t c = 1; c < item.choices.size(); ++c)
        if (score(c) > score(at)) at = c;
      return static_cast<std::int64_t>(at) == item.answer ? 1.0 : 0.0;
    };
    sums[0] += 1;
    sums[1] += best([&](std::size_t c) { return scored.log_probabilities[c]; });
    sums[2] += best([&](std::size_t c) { return scored.log_probabilities[c] / static_cast<double>(scored.bytes[c]); });
    sums[3] += scored.shortened ? 1 : 0;
  }
  const std::vector<double> all = ranks->all_reduce_values(sums);
  const auto whole = [&](std::size_t k) { return static_cast<std::int64_t>(all[k]); };
  return {whole(0), whole(1), whole(2), whole(3)};
}

}  // namespace trireme
