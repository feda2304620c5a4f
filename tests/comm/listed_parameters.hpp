// A module that is nothing but parameters, for tests of what happens to their gradients.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/arena.hpp"
#include "core/nn/module.hpp"

namespace trireme::test {

class ListedParameters final : public Module {
 public:
  explicit ListedParameters(const std::vector<std::int64_t>& sizes, const std::vector<std::size_t>& frozen = {}) {
    for (const auto n : sizes) parameters_.emplace_back(Shape{n}, Initializer::zeros());
    for (const auto k : frozen) parameters_[k].set_training(Training::frozen);
  }
  Value forward(Context& context, const Value& x) override {
    for (auto& parameter : parameters_) context.use(parameter);
    return x;
  }
  void parts(Visitor& visitor) override {
    for (std::size_t k = 0; k < parameters_.size(); ++k) visitor(fmt::format("p{}", k), parameters_[k]);
  }
  Parameter& operator[](std::size_t k) { return parameters_[k]; }

  ArenaLayout plan(DType dtype) {
    return plan_arena(*this, {.dtype = dtype}, [this](Context& context) { forward(context, {}); });
  }

 private:
  std::vector<Parameter> parameters_;
};

/// A module with storage, ready to take gradients.
struct Trained {
  explicit Trained(const std::vector<std::int64_t>& sizes, DType dtype, Allocator& gradients,
                   const std::vector<std::size_t>& frozen = {})
      : module(sizes, frozen), layout(module.plan(dtype)), planes(allocate_planes(layout, Device::cpu(), gradients)) {
    materialize(module, layout, planes, 1);
  }
  ListedParameters module;
  ArenaLayout layout;
  Planes planes;
};

/// Adds `value` to every element of a parameter's gradient.
inline void contribute(GradientStore& store, Parameter& parameter, double value) {
  const auto to = store.acquire(parameter);
  with_wide_floating(to.tensor.dtype(), "contribute", [&](auto zero) {
    using T = decltype(zero);
    for (T& x : to.tensor.span<T>()) x = static_cast<T>(value) + (to.mode == Write::accumulate ? x : T{});
  });
}

}  // namespace trireme::test
