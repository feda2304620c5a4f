#include "core/nn/recurrent.hpp"

#include <cmath>

#include "core/ops/dropout.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {

Recurrent::Recurrent(ops::Cell cell, std::int64_t hidden, const RecurrentLayerOptions& options)
    : cell_(cell), hidden_(hidden), options_(options) {
  require(hidden > 0 && options.layers > 0, "a recurrent layer of {} hidden units in {} layers: both must be positive",
          hidden, options.layers);
  require(options.dropout >= 0 && options.dropout < 1, "a recurrent layer's dropout {} must be in [0, 1)",
          options.dropout);
  passes_.resize(static_cast<std::size_t>(options.layers) * directions());
}

void Recurrent::Pass::parts(Visitor& visit) {
  if (!weight_ih) return;
  visit("weight_ih", *weight_ih);
  visit("weight_hh", *weight_hh);
  visit("bias_ih", *bias_ih);
  if (bias_hh) visit("bias_hh", *bias_hh);
}

void Recurrent::make(Context& context, Pass& pass, std::int64_t inputs) const {
  if (pass.weight_ih) return;
  require(context.on_meta(), "a recurrent layer was used before plan_arena() saw it: its parameters have no place");
  const std::int64_t rows = (cell_ == ops::Cell::lstm ? 4 : 3) * hidden_;
  const Initializer draw{Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(hidden_))};
  pass.weight_ih.emplace(Shape{rows, inputs}, draw);
  pass.weight_hh.emplace(Shape{rows, hidden_}, draw);
  pass.bias_ih.emplace(Shape{rows}, draw, Decay::no);
  if (cell_ == ops::Cell::gru) pass.bias_hh.emplace(Shape{rows}, draw, Decay::no);
}

ops::RecurrentResult Recurrent::run(Context& context, const Value& x, const RecurrentInput& input, std::size_t number) {
  Pass& pass = passes_[number];
  make(context, pass, x.shape()[-1]);
  using Direction = ops::RecurrentOptions::Direction;
  return ops::recurrent(context,
                        {.x = x,
                         .weight_ih = context.use(*pass.weight_ih),
                         .bias_ih = context.use(*pass.bias_ih),
                         .weight_hh = context.use(*pass.weight_hh),
                         .bias_hh = pass.bias_hh ? context.use(*pass.bias_hh) : Value(),
                         .hidden = input.hidden.empty() ? Value() : input.hidden[number],
                         .cell = input.cell.empty() ? Value() : input.cell[number]},
                        {.cell = cell_,
                         .direction = number % directions() == 0 ? Direction::forward : Direction::backward,
                         .lengths = input.lengths});
}

RecurrentOutput Recurrent::apply(Context& context, const Value& x, const RecurrentInput& input) {
  require(x.shape().dims() == 3, "a recurrent layer's input is {}, wanted (B, T, C)", x.shape());
  for (const auto* states : {&input.hidden, &input.cell})
    require(states->empty() || states->size() == passes_.size(),
            "a recurrent layer of {} layers and directions together was given {} first states", passes_.size(),
            states->size());
  RecurrentOutput out{.y = x, .hidden = {}, .cell = {}};
  for (std::size_t first = 0; first < passes_.size(); first += directions()) {
    std::vector<Value> sides;
    for (std::size_t k = 0; k < directions(); ++k) {
      const ops::RecurrentResult result = run(context, out.y, input, first + k);
      sides.push_back(result.y);
      out.hidden.push_back(result.hidden);
      if (cell_ == ops::Cell::lstm) out.cell.push_back(result.cell);
    }
    out.y = sides.size() == 1 ? sides[0] : ops::concat(context, sides, -1);
    if (first + directions() < passes_.size()) out.y = ops::dropout(context, out.y, {.probability = options_.dropout});
  }
  return out;
}

void Recurrent::parts(Visitor& visit) {
  for (std::size_t k = 0; k < passes_.size(); ++k)
    visit(fmt::format("{}.{}", k / directions(), k % directions() == 0 ? "forward" : "backward"), passes_[k]);
}

}  // namespace trireme
