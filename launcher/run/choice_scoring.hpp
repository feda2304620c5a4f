// Multiple-choice evaluation of a language model: the choice whose text the model finds most likely after the context,
// by the sum of its tokens' log-probabilities and by that sum divided by the choice's bytes, as is usual for HellaSwag
// (Zellers et al. 2019, arXiv:1905.07830).
#pragma once

#include <vector>

#include "comm/communicator.hpp"
#include "core/models/language_model.hpp"
#include "datasets/multiple_choice.hpp"
#include "datasets/tokenizer.hpp"

namespace trireme {

struct ChoiceScores {
  std::int64_t items = 0;
  std::int64_t right = 0;             ///< By the sum of log-probabilities.
  std::int64_t right_normalised = 0;  ///< By the sum divided by the bytes of the choice.
  std::int64_t shortened = 0;         ///< Items of which the beginning did not fit into the model's context.
};

/// The log-probability of each choice's tokens after the context. A context too long for the model loses its beginning;
/// Error(corrupt_input) where a choice alone does not fit, or has no token.
struct ScoredItem {
  std::vector<double> log_probabilities;
  std::vector<std::int64_t> bytes;
  bool shortened = false;
};
ScoredItem score_choices(LanguageModel& model, Context& context, const Tokenizer& tokenizer,
                         const MultipleChoiceItem& item);

/// Collective: rank r scores the items r, r + size, r + 2 size, ...; all ranks get the sums.
ChoiceScores score_all(LanguageModel& model, Context& context, const Tokenizer& tokenizer,
                       const std::pair<Communicator*, const std::vector<MultipleChoiceItem>*>& ranks_and_items);

}  // namespace trireme
