// Recurrent layers: LSTM and GRU of several layers, one or both directions, over sequences of different lengths. See
// core/ops/recurrent.hpp for the formulas.
#pragma once

#include <deque>
#include <optional>

#include "core/nn/module.hpp"
#include "core/ops/recurrent.hpp"

namespace trireme {

struct RecurrentLayerOptions {
  std::int64_t layers = 1;
  enum class Directions : std::uint8_t { forward, both } directions = Directions::forward;
  double dropout = 0;  ///< Of each layer's outputs but the last one's, in training.
};

/// What one pass is told.
struct RecurrentInput {
  Tensor lengths = {};  ///< i32 (B) or an empty handle: see ops::RecurrentOptions.
  /// First states (B, H) of each layer, forward before backward; empty for zeros. `cell` is of an LSTM.
  std::vector<Value> hidden = {}, cell = {};
};

struct RecurrentOutput {
  Value y;                          ///< (B, T, H), of both directions (B, T, 2 H): forward, then backward.
  std::vector<Value> hidden, cell;  ///< Last states, as in RecurrentInput.
};

/// Parameters of each layer l and direction d (forward, backward), named l.d.weight_ih (gates H, inputs), weight_hh
/// (gates H, H), bias_ih (gates H), and of a GRU bias_hh (gates H); all uniform in +-1 / sqrt(H).
class Recurrent : public Module {
 public:
  Recurrent(ops::Cell cell, std::int64_t hidden, const RecurrentLayerOptions& options);
  /// (B, T, C) -> (B, T, H) or (B, T, 2 H).
  Value forward(Context& context, const Value& x) override { return apply(context, x, {}).y; }
  RecurrentOutput apply(Context& context, const Value& x, const RecurrentInput& input);
  void parts(Visitor& visit) override;

 private:
  /// One direction of one layer.
  struct Pass : Module {
    std::optional<Parameter> weight_ih, weight_hh, bias_ih, bias_hh;
    Value forward(Context&, const Value& x) override { return x; }
    void parts(Visitor& visit) override;
  };
  void make(Context& context, Pass& pass, std::int64_t inputs) const;
  ops::RecurrentResult run(Context& context, const Value& x, const RecurrentInput& input, std::size_t number);
  std::size_t directions() const { return options_.directions == RecurrentLayerOptions::Directions::both ? 2 : 1; }

  ops::Cell cell_;
  std::int64_t hidden_;
  RecurrentLayerOptions options_;
  std::deque<Pass> passes_;
};

class Lstm : public Recurrent {
 public:
  explicit Lstm(std::int64_t hidden, const RecurrentLayerOptions& options = {})
      : Recurrent(ops::Cell::lstm, hidden, options) {}
};

class Gru : public Recurrent {
 public:
  explicit Gru(std::int64_t hidden, const RecurrentLayerOptions& options = {})
      : Recurrent(ops::Cell::gru, hidden, options) {}
};

}  // namespace trireme
