// Connectionist temporal classification (Graves et al. 2006): the negative logarithm of the probability that frames
// spell a sequence of labels, by the forward recursion in logarithms, and its gradient by the backward one. States of a
// target of l labels are blank, label 0, blank, label 1, ... blank: 2 l + 1 of them. The lanes of a team share the
// states of a frame; frames follow each other.
#pragma once

#include <cmath>

#include "core/kernels/team.hpp"

namespace trireme::kernels {

/// log(exp(a) + exp(b)), also of minus infinity.
template <class A>
TRIREME_HD A log_add(A a, A b) {
  const A top = a > b ? a : b, low = a > b ? b : a;
  if (low == -static_cast<A>(HUGE_VAL)) return top;
  return top + std::log1p(std::exp(low - top));
}

/// What forward and gradient share. x is (B, T, C), labels (B, L), lengths (B); states (B, T, 2 L + 1).
template <class T>
struct CtcRows {
  using A = Accum<T>;
  const T* x;
  const std::int32_t* labels;
  const std::int32_t* frames;
  const std::int32_t* targets;
  const float* weights;  ///< (B) or null.
  A* alpha;              ///< States' forward sums, kept for the gradient.
  std::int64_t batch, time, classes, most_labels;
  std::int32_t blank;
  std::uint32_t drop_impossible;  ///< 1: a target that cannot be spelt counts as loss 0, not infinite.

  TRIREME_HD std::int64_t states() const { return 2 * most_labels + 1; }
  TRIREME_HD std::int64_t used_states(std::int64_t b) const { return 2 * clip(targets[b], most_labels) + 1; }
  TRIREME_HD std::int64_t used_frames(std::int64_t b) const { return clip(frames[b], time); }
  TRIREME_HD float weight(std::int64_t b) const { return weights ? weights[b] : 1.0f; }
  TRIREME_HD std::int64_t symbol(std::int64_t b, std::int64_t s) const {
    return s % 2 == 0 ? blank : labels[b * most_labels + s / 2];
  }
  /// The logarithm of a frame's probability of a state; not a number for a label that does not exist.
  TRIREME_HD A emits(std::int64_t b, std::int64_t t, std::int64_t s) const {
    const std::int64_t c = symbol(b, s);
    if (c < 0 || c >= classes) return static_cast<A>(NAN);
    return static_cast<A>(x[(b * time + t) * classes + c]);
  }
  /// Whether state s may follow s - 2: a label other than the one before it.
  TRIREME_HD bool skips(std::int64_t b, std::int64_t s) const {
    return s % 2 == 1 && s >= 2 && symbol(b, s) != symbol(b, s - 2);
  }
  /// The logarithm of the probability, once alpha is known.
  TRIREME_HD A log_probability(std::int64_t b) const {
    const std::int64_t n = used_frames(b), s = used_states(b);
    if (n == 0) return s == 1 ? A{0} : -static_cast<A>(HUGE_VAL);
    const A* last = alpha + (b * time + n - 1) * states();
    return s > 1 ? log_add(last[s - 1], last[s - 2]) : last[0];
  }

 private:
  TRIREME_HD static std::int64_t clip(std::int64_t n, std::int64_t most) { return n < 0 ? 0 : (n > most ? most : n); }
};

/// A row kernel over the samples. row_totals is f64 (3, B): weight * loss, weight, 0.
template <class T>
struct CtcForward {
  static constexpr const char* name = "ctc_loss";
  CtcRows<T> in;
  double* row_totals;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t b) const {
    using A = Accum<T>;
    const std::int64_t used = in.used_states(b), n = in.used_frames(b);
    for (std::int64_t t = 0; t < n; ++t) {
      A* now = in.alpha + (b * in.time + t) * in.states();
      const A* before = now - in.states();
      for (std::int64_t s = team.lane(); s < used; s += team.lanes()) {
        A sum = -static_cast<A>(HUGE_VAL);
        if (t == 0) {
          if (s < 2) sum = 0;
        } else {
          sum = before[s];
          if (s >= 1) sum = log_add(sum, before[s - 1]);
          if (in.skips(b, s)) sum = log_add(sum, before[s - 2]);
        }
        now[s] = sum + in.emits(b, t, s);
      }
      team.sync();
    }
    if (team.lane() != 0) return;
    const double w = in.weight(b), loss = -static_cast<double>(in.log_probability(b));
    const bool dropped = in.drop_impossible != 0 && loss == HUGE_VAL;
    row_totals[b] = w == 0 || dropped ? 0 : w * loss;
    row_totals[in.batch + b] = w;
    row_totals[2 * in.batch + b] = 0;
  }
};

/// A row kernel: dx[b, t, c] = beta * dx - dloss[0] * weight * (the probability of class c at frame t, given the
/// target). Each lane owns every lanes()-th class, so sums over states have one order.
template <class T>
struct CtcGradient {
  static constexpr const char* name = "ctc_loss_gradient";
  CtcRows<T> in;
  Accum<T>* scratch;  ///< (B, 3, 2 L + 1): backward sums of two frames, and the share of each state.
  const Accum<T>* dloss;
  T* dx;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t b) const {
    using A = Accum<T>;
    const A total = in.log_probability(b);
    const bool dropped = in.weight(b) == 0 || (in.drop_impossible != 0 && total == -static_cast<A>(HUGE_VAL));
    const A factor = dropped ? A{0} : -static_cast<A>(in.weight(b)) * *dloss;
    const std::int64_t n = in.used_frames(b);
    for (std::int64_t t = in.time - 1; t >= 0; --t) {
      T* out = dx + (b * in.time + t) * in.classes;
      for (std::int64_t c = team.lane(); c < in.classes; c += team.lanes())
        out[c] = static_cast<T>(beta == 0 ? A{0} : beta * static_cast<A>(out[c]));
      if (t >= n || dropped) continue;  // the same for all lanes
      shares(team, b, t, total);
      team.sync();
      add(team, b, out, factor);
      team.sync();
    }
  }

 private:
  /// The backward sums of frame t and what each state has of the whole.
  template <class Team>
  TRIREME_HD void shares(const Team& team, std::int64_t b, std::int64_t t, Accum<T> total) const {
    using A = Accum<T>;
    const std::int64_t used = in.used_states(b), room = in.states();
    A* base = scratch + b * 3 * room;
    A* now = base + t % 2 * room;
    const A* next = base + (t + 1) % 2 * room;
    const A* alpha = in.alpha + (b * in.time + t) * room;
    for (std::int64_t s = team.lane(); s < used; s += team.lanes()) {
      A sum = -static_cast<A>(HUGE_VAL);
      if (t == in.used_frames(b) - 1) {
        if (s + 2 >= used) sum = 0;
      } else {
        sum = next[s];
        if (s + 1 < used) sum = log_add(sum, next[s + 1]);
        if (s + 2 < used && in.skips(b, s + 2)) sum = log_add(sum, next[s + 2]);
      }
      base[2 * room + s] = std::exp(alpha[s] + sum - total);
      now[s] = sum + in.emits(b, t, s);
    }
  }

  template <class Team>
  TRIREME_HD void add(const Team& team, std::int64_t b, T* out, Accum<T> factor) const {
    using A = Accum<T>;
    const std::int64_t used = in.used_states(b);
    const A* share = scratch + (b * 3 + 2) * in.states();
    A blanks = 0;
    for (std::int64_t s = 2 * team.lane(); s < used; s += 2 * team.lanes()) blanks += share[s];
    blanks = team.sum(blanks);
    if (in.blank % team.lanes() == team.lane())
      out[in.blank] = static_cast<T>(static_cast<A>(out[in.blank]) + factor * blanks);
    for (std::int64_t s = 1; s < used; s += 2) {
      const std::int64_t c = in.symbol(b, s);
      if (c < 0 || c >= in.classes || c % team.lanes() != team.lane()) continue;
      out[c] = static_cast<T>(static_cast<A>(out[c]) + factor * share[s]);
    }
  }
};

}  // namespace trireme::kernels
