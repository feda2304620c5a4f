#include "core/models/sequence_classifier.hpp"

#include <vector>

#include "core/ops/dropout.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {

SequenceClassifier::SequenceClassifier(const SequenceClassifierOptions& options)
    : directions_(options.recurrent.directions == RecurrentLayerOptions::Directions::both ? 2 : 1),
      dropout_(options.recurrent.dropout),
      embedding_({.vocabulary = options.vocabulary, .width = options.width}, {.deviation = 1}),
      recurrent_(options.cell, options.hidden, options.recurrent),
      head_(options.classes) {}

Value SequenceClassifier::apply(Context& context, const Value& ids, const Tensor& lengths) {
  const RecurrentOutput read = recurrent_.apply(context, embedding_.forward(context, ids), {.lengths = lengths});
  // The last layer's states: the one that read forward to the end and the one that read back to the beginning.
  const std::vector<Value> last(read.hidden.end() - static_cast<std::ptrdiff_t>(directions_), read.hidden.end());
  const Value seen = last.size() == 1 ? last[0] : ops::concat(context, last, -1);
  return head_.forward(context, ops::dropout(context, seen, {.probability = dropout_}));
}

void SequenceClassifier::parts(Visitor& visit) {
  visit("embedding", embedding_);
  visit("recurrent", recurrent_);
  visit("head", head_);
}

}  // namespace trireme
