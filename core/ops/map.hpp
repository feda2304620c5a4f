// Shared by the ops that compute each element alone (elementwise.cpp, activation.cpp): launch Map, record MapGradient.
#pragma once

#include "core/kernels/elementwise.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/number_functions.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

/// Which tensor the slope of a function is computed from.
enum class Keeps : std::uint8_t { input, output };

template <class F>
inline Value map_elements(Context& context, const Value& x, Keeps keeps) {
  const Tensor y = context.empty(x.shape(), x.dtype());
  with_floating(x.dtype(), F::name, [&](auto zero) {
    using T = decltype(zero);
    launch_elements(context.stream(), y.elements(), kernels::Map<T, F>{x.tensor().data<T>(), y.data<T>(), {}});
  });
  const Saved kept(keeps == Keeps::input ? x : Value(y));
  return context.record({F::name,
                         {&x, 1},
                         [kept](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           const Destination to = g.to(0);
                           with_floating(dy.dtype(), F::gradient_name, [&](auto zero) {
                             using T = decltype(zero);
                             launch_elements(
                                 c.stream(), dy.elements(),
                                 kernels::MapGradient<T, F>{
                                     kept.get().template data<T>(), dy.data<T>(), to.tensor.data<T>(), to.beta(), {}});
                           });
                         }},
                        y);
}

/// The same for a function that has numbers of its own and keeps its input.
template <template <class> class F>
inline Value map_elements_with(Context& context, const Value& x, const kernels::Numbers& numbers) {
  const Tensor y = context.empty(x.shape(), x.dtype());
  with_floating(x.dtype(), F<float>::name, [&](auto zero) {
    using T = decltype(zero);
    using Function = F<Accum<T>>;
    launch_elements(context.stream(), y.elements(),
                    kernels::Map<T, Function>{x.tensor().data<T>(), y.data<T>(), Function::of(numbers)});
  });
  const Saved kept(x);
  const auto gradient = [kept, numbers](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    const Destination to = g.to(0);
    with_floating(dy.dtype(), F<float>::gradient_name, [&](auto zero) {
      using T = decltype(zero);
      using Function = F<Accum<T>>;
      launch_elements(c.stream(), dy.elements(),
                      kernels::MapGradient<T, Function>{kept.get().template data<T>(), dy.data<T>(),
                                                        to.tensor.data<T>(), to.beta(), Function::of(numbers)});
    });
  };
  return context.record({F<float>::name, {&x, 1}, gradient}, y);
}

}  // namespace trireme::ops
