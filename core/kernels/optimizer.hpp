// Updates of parameters, element by element over ranges of planes, and the squared norm of a range. They read the
// step's rate, gradient factor and skip flag from a StepState in the device's memory; a step that is skipped leaves
// everything as it is. Pointers are to the first element of the range in each plane. Values, moments and arithmetic are
// of type A = Accum<Param>, f32 or f64; where parameters are kept in 16 bits (Param), A are their masters, and each
// update writes their rounded copy too. Gradients have a type of their own.
#pragma once

#include <cmath>

#include "core/kernels/simd.hpp"
#include "core/tape/step_state.hpp"

namespace trireme::kernels {

/// What both updates work on.
template <class Param, class Grad>
struct Updated {
  using A = Accum<Param>;
  A* master;     ///< The parameters themselves where Param is A.
  Param* param;  ///< Written where Param is not A.
  const Grad* grad;
  A* moment1;
  double rate_factor = 1;  ///< Of the parameter's group.

  TRIREME_HD double rate(const StepState* state) const { return state->rate * rate_factor; }
  template <int n>
  TRIREME_HD Vec<A, n> value(std::int64_t i, Width<n> width) const {
    return load_vec(static_cast<const A*>(master) + i, width);
  }
  template <int n>
  TRIREME_HD void write(std::int64_t i, const Vec<A, n>& value) const {
    store_vec(master + i, value);
    if constexpr (!std::is_same_v<A, Param>) store_vec(param + i, value);
  }
};

/// Stochastic gradient descent with momentum as frameworks have it, after Sutskever et al. 2013 ("On the importance of
/// initialization and momentum in deep learning"; the rate outside the momentum, so that changing it acts at once):
///   g = gradient_scale * grad + weight_decay * param;  m = momentum * m + g;
///   param -= rate * (nesterov ? g + momentum * m : m)
/// An element kernel. moment1 may be null when momentum is 0. nesterov is 0 or 1.
template <class Param, class Grad = Param>
struct SgdUpdate {
  using A = Accum<Param>;
  static constexpr const char* name = "sgd_update";
  static constexpr int pack = pack_width<A>, serial_pack = serial_width<A>;
  Updated<Param, Grad> of;
  const StepState* state;
  A momentum, weight_decay;
  std::uint32_t nesterov;

  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    if (state->skip != 0) return;
    const auto rate = static_cast<A>(of.rate(state)), factor = static_cast<A>(state->gradient_scale);
    const A of_gradient = nesterov != 0 || !of.moment1 ? A{1} : A{0}, of_moment = nesterov != 0 ? momentum : A{1};
    const A decay = weight_decay, keep = momentum;
    auto p = of.value(i, width);
    const auto g = map([=](auto x, auto y) { return x * factor + decay * y; }, load_vec(of.grad + i, width), p);
    p = map([=](auto x, auto y) { return x - rate * of_gradient * y; }, p, g);
    if (of.moment1) {
      const auto m =
          map([=](auto x, auto y) { return keep * x + y; }, load_vec(static_cast<const A*>(of.moment1) + i, width), g);
      p = map([=](auto x, auto y) { return x - rate * of_moment * y; }, p, m);
      store_vec(of.moment1 + i, m);
    }
    of.write(i, p);
  }
};

/// Adam (Kingma and Ba 2015, arXiv:1412.6980) with weight decay either added to the gradient (L2) or decoupled (AdamW,
/// Loshchilov and Hutter 2019, arXiv:1711.05101):
///   g = gradient_scale * grad + l2 * param;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
///   param -= rate * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + decoupled * param),  t = state->step +
///   1
/// An element kernel; on a CPU one call does a long run, because the powers are costly. At most one of l2 and decoupled
/// is not 0. log_beta1 and log_beta2 are std::log(beta1) and std::log(beta2).
template <class Param, class Grad = Param>
struct AdamUpdate {
  using A = Accum<Param>;
  static constexpr const char* name = "adam_update";
  static constexpr int pack = pack_width<A>, serial_pack = 512;
  Updated<Param, Grad> of;
  A* moment2;
  const StepState* state;
  A beta1, beta2, epsilon, l2, decoupled;
  double log_beta1, log_beta2;

  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    if (state->skip != 0) return;
    const auto t = static_cast<double>(state->step + 1);
    const double correction1 = -std::expm1(t * log_beta1), correction2 = -std::expm1(t * log_beta2);
    const auto rate = static_cast<A>(of.rate(state)), shrink = 1 - rate * decoupled;
    const auto pace = static_cast<A>(of.rate(state) / correction1);
    const auto root = static_cast<A>(1 / std::sqrt(correction2));
    constexpr int each = W{} < serial_width<A> ? int{W{}} : serial_width<A>;
    for (int k = 0; k < W{}; k += each) update(i + k, Width<each>{}, {pace, root, shrink});
  }

 private:
  struct Factors {
    A pace, root, shrink;
  };
  template <class W>
  TRIREME_HD void update(std::int64_t i, W width, Factors by) const {
    const A factor = static_cast<A>(state->gradient_scale), decay = l2;
    const A keep1 = beta1, keep2 = beta2, more1 = 1 - beta1, more2 = 1 - beta2, small = epsilon;
    const auto p = of.value(i, width);
    const auto g = map([=](auto x, auto y) { return x * factor + decay * y; }, load_vec(of.grad + i, width), p);
    const auto m = map([=](auto x, auto y) { return keep1 * x + more1 * y; },
                       load_vec(static_cast<const A*>(of.moment1) + i, width), g);
    const auto v = map([=](auto x, auto y) { return keep2 * x + more2 * y * y; },
                       load_vec(static_cast<const A*>(moment2) + i, width), g);
    store_vec(of.moment1 + i, m);
    store_vec(moment2 + i, v);
    of.write(i, map([=](auto x, auto y, auto size) { return by.shrink * x - by.pace * y / (size * by.root + small); },
                    p, m, root(v)));
  }
};

/// RMSprop (Tieleman, Hinton 2012, lecture 6.5 of "Neural networks for machine learning"), with momentum as frameworks
/// have it:
///   g = gradient_scale * grad + l2 * param;  v = smoothing v + (1 - smoothing) g^2;  u = g / (sqrt(v) + epsilon);
///   m = momentum * m + u;  param -= rate * m
/// An element kernel. moment1 may be null when momentum is 0.
template <class Param, class Grad = Param>
struct RmsPropUpdate {
  using A = Accum<Param>;
  static constexpr const char* name = "rmsprop_update";
  static constexpr int pack = pack_width<A>, serial_pack = serial_width<A>;
  Updated<Param, Grad> of;
  A* moment2;
  const StepState* state;
  A smoothing, momentum, epsilon, l2;

  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    if (state->skip != 0) return;
    const auto rate = static_cast<A>(of.rate(state)), factor = static_cast<A>(state->gradient_scale);
    const A decay = l2, keep = smoothing, more = 1 - smoothing, small = epsilon, hold = momentum;
    const auto p = of.value(i, width);
    const auto g = map([=](auto x, auto y) { return x * factor + decay * y; }, load_vec(of.grad + i, width), p);
    const auto v = map([=](auto x, auto y) { return keep * x + more * y * y; },
                       load_vec(static_cast<const A*>(moment2) + i, width), g);
    auto u = map([=](auto x, auto size) { return x / (size + small); }, g, root(v));
    store_vec(moment2 + i, v);
    if (of.moment1) {
      u = map([=](auto x, auto y) { return hold * x + y; }, load_vec(static_cast<const A*>(of.moment1) + i, width), u);
      store_vec(of.moment1 + i, u);
    }
    of.write(i, map([=](auto x, auto y) { return x - rate * y; }, p, u));
  }
};

/// Lion (Chen et al. 2023, arXiv:2302.06675), with decoupled weight decay:
///   g = gradient_scale * grad;  param -= rate * (sign(beta1 m + (1 - beta1) g) + decoupled * param);
///   m = beta2 m + (1 - beta2) g
/// An element kernel.
template <class Param, class Grad = Param>
struct LionUpdate {
  using A = Accum<Param>;
  static constexpr const char* name = "lion_update";
  static constexpr int pack = pack_width<A>, serial_pack = serial_width<A>;
  Updated<Param, Grad> of;
  const StepState* state;
  A beta1, beta2, decoupled;

  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    if (state->skip != 0) return;
    const auto rate = static_cast<A>(of.rate(state)), factor = static_cast<A>(state->gradient_scale);
    const A keep1 = beta1, more1 = 1 - beta1, keep2 = beta2, more2 = 1 - beta2, shrink = 1 - rate * decoupled;
    const auto g = map([=](auto x) { return x * factor; }, load_vec(of.grad + i, width));
    const auto m = load_vec(static_cast<const A*>(of.moment1) + i, width);
    const auto blend = map([=](auto x, auto y) { return keep1 * x + more1 * y; }, m, g);
    const auto up = map([](auto x) { return x > decltype(x){} ? decltype(x){} + A{1} : decltype(x){}; }, blend);
    const auto down = map([](auto x) { return x < decltype(x){} ? decltype(x){} + A{1} : decltype(x){}; }, blend);
    of.write(i, map([=](auto x, auto a, auto b) { return shrink * x - rate * (a - b); }, of.value(i, width), up, down));
    store_vec(of.moment1 + i, map([=](auto x, auto y) { return keep2 * x + more2 * y; }, m, g));
  }
};

/// Elements that one row of SquaredNorm adds up.
inline constexpr std::int64_t norm_chunk = 65536;

/// A row kernel over chunks of norm_chunk elements: partial[row] = the sum of their squares in f64. The partial of a
/// chunk with an infinite element or one that is not a number is not finite itself (a square of f32 cannot overflow).
template <class T>
struct SquaredNorm {
  static constexpr const char* name = "squared_norm";
  const T* x;
  double* partial;
  std::int64_t elements;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t first = row * norm_chunk, rest = elements - first;
    Pack<double, lane_width<T, Team>> totals;
    for_each_wide<T>(team, rest < norm_chunk ? rest : norm_chunk, [&](std::int64_t i, auto width) {
      const auto v = load(x + first + i, width);
      for (int k = 0; k < width; ++k) totals[k] += static_cast<double>(v[k]) * static_cast<double>(v[k]);
    });
    const double total = team.sum(totals.sum());
    if (team.lane() == 0) partial[row] = total;
  }
};

}  // namespace trireme::kernels
