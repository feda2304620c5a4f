#include "core/nn/module.hpp"

#include <fmt/format.h>

namespace trireme {

std::string Visitor::join(std::string_view name) const {
  return prefix_.empty() ? std::string(name) : fmt::format("{}.{}", prefix_, name);
}

void Visitor::operator()(std::string_view name, Module& child) {
  const std::string outer = std::exchange(prefix_, join(name));
  child.parts(*this);
  prefix_ = outer;
}

const std::string& Sequential::label(std::size_t layer, const Shape& shape) {
  labels_.resize(layers_.size());
  Label& label = labels_[layer];
  if (label.text.empty() || !(label.shape == shape)) label = {shape, fmt::format("layer {} on {}", layer, shape)};
  return label.text;
}

void require_planning(const Context& context, const char* layer) {
  require(context.on_meta(), "{} was used before plan_arena() saw it: its parameters have no place", layer);
}

Value Sequential::forward(Context& context, const Value& x) {
  Value value = x;
  for (std::size_t k = 0; k < layers_.size(); ++k) {
    context.set_label(label(k, value.shape()));
    value = layers_[k]->forward(context, value);
  }
  return value;
}

void Sequential::parts(Visitor& visitor) {
  for (std::size_t k = 0; k < layers_.size(); ++k) visitor(std::to_string(k), *layers_[k]);
}

namespace {

struct Collector final : Visitor {
  std::vector<NamedParameter> parameters;
  std::vector<NamedState> states;
  void on_parameter(const std::string& name, Parameter& parameter) override {
    parameters.push_back({name, &parameter});
  }
  void on_state(const std::string& name, State& state) override { states.push_back({name, &state}); }
};

}  // namespace

std::vector<NamedParameter> parameters_of(Module& module) {
  Collector collector;
  module.parts(collector);
  return std::move(collector.parameters);
}

std::vector<NamedState> states_of(Module& module) {
  Collector collector;
  module.parts(collector);
  return std::move(collector.states);
}

}  // namespace trireme
