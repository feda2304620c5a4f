#include "core/tape/recompute.hpp"

#include <unordered_map>

namespace trireme {
namespace {

/// Passes the gradients of parameters on to where the outer tape puts them. The outer record says when they are ready.
class Passing final : public GradientStore {
 public:
  Passing(Gradients& outer, const std::vector<Parameter*>& parameters, std::size_t inputs) : outer_(outer) {
    for (std::size_t k = 0; k < parameters.size(); ++k) places_.emplace(parameters[k], static_cast<int>(inputs + k));
  }
  Destination acquire(Parameter& parameter) override {
    const auto found = places_.find(&parameter);
    require(found != places_.end(), "a recomputed part uses {}, which it did not declare", parameter.name());
    return outer_.to_stored(found->second);
  }
  void ready(Parameter&) override {}

 private:
  Gradients& outer_;
  std::unordered_map<const Parameter*, int> places_;
};

struct Kept {
  Computation body;
  std::vector<Saved> inputs;
  std::vector<Parameter*> parameters;
  std::uint32_t first_layer;
};

void gradient_of_again(Context& context, Gradients& gradients, const Kept& kept, std::size_t outputs) {
  Passing store(gradients, kept.parameters, kept.inputs.size());
  Tape tape(store);
  const Context::Detour detour(context, &tape, kept.first_layer);
  std::vector<Value> inputs;
  for (std::size_t k = 0; k < kept.inputs.size(); ++k) {
    const Tensor& input = kept.inputs[k].get();
    inputs.push_back(gradients.wanted(static_cast<int>(k)) ? tape.watch(input) : Value(input));
  }
  const std::vector<Value> again = kept.body(context, inputs);
  std::vector<Tensor> arrived;
  for (std::size_t k = 0; k < outputs; ++k) arrived.push_back(gradients.take_output(static_cast<int>(k)));
  tape.backward(context, again, arrived);
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].needs_gradient()) continue;
    if (const Tensor gradient = tape.gradient_of(inputs[k])) gradients.hand_over(static_cast<int>(k), gradient);
  }
}

}  // namespace

std::vector<Value> recompute(Context& context, const Recomputed& what, Computation body) {
  if (!context.tape()) return body(context, what.inputs);
  Kept kept{std::move(body), {}, what.parameters, context.layers_numbered()};
  std::vector<Tensor> outputs;
  std::uint32_t last_layer = 0;
  {
    const Context::Detour detour(context, nullptr, kept.first_layer);
    for (const Value& value : kept.body(context, what.inputs)) outputs.push_back(value.tensor());
    last_layer = context.layers_numbered();
  }
  context.skip_layers_to(last_layer);
  std::vector<Value> inputs(what.inputs.begin(), what.inputs.end());
  for (const Value& input : what.inputs) kept.inputs.emplace_back(input);
  for (Parameter* parameter : what.parameters) inputs.push_back(context.use(*parameter));
  const std::size_t count = outputs.size();
  return context.record(
      {what.name, inputs,
       [kept = std::move(kept), count](Context& c, Gradients& g) { gradient_of_again(c, g, kept, count); }},
      outputs);
}

}  // namespace trireme
