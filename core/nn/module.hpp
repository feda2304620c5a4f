// Networks are trees of modules. A module has a forward pass and one function that names its parts; names of
// parameters, checkpoints, counts and storage all come from that one visit.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/tape/context.hpp"
#include "core/tape/parameter.hpp"

namespace trireme {

class Module;

/// Walks the parts of a module tree; names are joined by dots ("features.0.weight").
class Visitor {
 public:
  virtual ~Visitor() = default;
  void operator()(std::string_view name, Module& child);
  void operator()(std::string_view name, Parameter& parameter) { on_parameter(join(name), parameter); }
  void operator()(std::string_view name, State& state) { on_state(join(name), state); }

 protected:
  virtual void on_parameter(const std::string& name, Parameter& parameter) = 0;
  virtual void on_state(const std::string& name, State& state) = 0;

 private:
  std::string join(std::string_view name) const;
  std::string prefix_;
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Value forward(Context& context, const Value& x) = 0;
  /// Calls visitor(name, part) for every child module, Parameter and State, always in the same order.
  virtual void parts(Visitor&) {}
};

/// A layer's parameters are made in its first pass, which must be the shape-only one that plans their place; an Error
/// that names `layer` where it is another.
void require_planning(const Context& context, const char* layer);

/// Modules applied one after the other. Sequential(Linear(784, 128), Relu(), Linear(128, 10)).
class Sequential : public Module {
 public:
  template <class... Layers>
  requires(sizeof...(Layers) > 0 && (std::is_base_of_v<Module, std::remove_cvref_t<Layers>> && ...) &&
           !(sizeof...(Layers) == 1 && (std::is_same_v<std::remove_cvref_t<Layers>, Sequential> &&
                                        ...))) explicit Sequential(Layers&&... layers) {
    (add(std::forward<Layers>(layers)), ...);
  }
  Sequential() = default;
  template <class Layer>
  Sequential& add(Layer layer) {
    layers_.push_back(std::make_unique<Layer>(std::move(layer)));
    return *this;
  }
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visitor) override;

 private:
  const std::string& label(std::size_t layer, const Shape& shape);
  struct Label {
    Shape shape;
    std::string text;
  };
  std::vector<std::unique_ptr<Module>> layers_;
  std::vector<Label> labels_;  // of the last pass: the text of a label costs more than a small layer
};

struct NamedParameter {
  std::string name;
  Parameter* parameter;
};
struct NamedState {
  std::string name;
  State* state;
};
/// All parameters in visiting order; a parameter reached by two names appears twice.
std::vector<NamedParameter> parameters_of(Module& module);
std::vector<NamedState> states_of(Module& module);

}  // namespace trireme
