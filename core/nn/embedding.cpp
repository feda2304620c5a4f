#include "core/nn/embedding.hpp"

#include "core/ops/embedding.hpp"

namespace trireme {

Embedding::Embedding(const Extents& extents, const EmbeddingLayerOptions& options)
    : weight_(Shape{extents.vocabulary, extents.width}, Initializer::normal(options.deviation)) {
  require(extents.vocabulary > 0 && extents.width > 0 && options.positions >= 0,
          "Embedding of {} rows of {} with {} positions: rows and width must be positive, positions not negative",
          extents.vocabulary, extents.width, options.positions);
  if (options.positions > 0)
    positions_.emplace(Shape{options.positions, extents.width}, Initializer::normal(options.deviation));
}

Value Embedding::forward(Context& context, const Value& ids) {
  return ops::embedding(context, ids.tensor(),
                        {.table = context.use(weight_), .positions = positions_ ? context.use(*positions_) : Value()});
}

void Embedding::parts(Visitor& visit) {
  visit("weight", weight_);
  if (positions_) visit("positions", *positions_);
}

}  // namespace trireme
