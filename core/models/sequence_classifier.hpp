// A network that tells the class of a sequence of numbers (bytes of a text, say): each is a vector by an embedding, an
// LSTM or GRU reads them, and a linear layer sees its last states.
#pragma once

#include "core/nn/embedding.hpp"
#include "core/nn/layers.hpp"
#include "core/nn/recurrent.hpp"

namespace trireme {

struct SequenceClassifierOptions {
  std::int64_t classes = 2;
  std::int64_t vocabulary = 256;  ///< The numbers are in [0, vocabulary).
  std::int64_t width = 32;        ///< Of the embedding.
  ops::Cell cell = ops::Cell::lstm;
  std::int64_t hidden = 128;
  /// Its dropout is also that of the last states.
  RecurrentLayerOptions recurrent = {};
};

/// Names: embedding, recurrent, head.
class SequenceClassifier : public Module {
 public:
  explicit SequenceClassifier(const SequenceClassifierOptions& options);
  /// i32 (B, T) -> logits (B, classes); all T count.
  Value forward(Context& context, const Value& ids) override { return apply(context, ids, {}); }
  /// The same of samples of lengths i32 (B): what stands behind them has no influence.
  Value apply(Context& context, const Value& ids, const Tensor& lengths);
  void parts(Visitor& visit) override;

 private:
  std::size_t directions_;
  double dropout_;
  Embedding embedding_;
  Recurrent recurrent_;
  Linear head_;
};

}  // namespace trireme
