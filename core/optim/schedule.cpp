#include "core/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trireme {
namespace {

/// From one number to another along half a cosine; done in [0, 1].
double along_cosine(double from, double to, double done) {
  return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace

double Schedule::one_cycle(std::int64_t now) const {
  const double last = static_cast<double>(std::max<std::int64_t>(total - 1, 1));
  const double top = std::clamp(rise * static_cast<double>(total) - 1, 0.0, last), at = static_cast<double>(now);
  if (at <= top) return along_cosine(first * rate, rate, top > 0 ? at / top : 1);
  return along_cosine(rate, floor, std::min((at - top) / (last - top), 1.0));
}

double Schedule::at(std::int64_t now) const {
  if (kind == Kind::one_cycle) return one_cycle(now);
  if (now < warmup) return rate * static_cast<double>(now + 1) / static_cast<double>(warmup);
  const double done =
      total > warmup ? std::min(static_cast<double>(now - warmup) / static_cast<double>(total - warmup), 1.0) : 0.0;
  if (kind == Kind::cosine && total > warmup) return along_cosine(rate, floor, done);
  if (kind == Kind::linear) return rate + (floor - rate) * done;
  if (kind == Kind::polynomial) return floor + (rate - floor) * std::pow(1 - done, power);
  if (kind == Kind::wsd && decay > 0 && now > total - decay) {
    const double fallen = static_cast<double>(now - (total - decay)) / static_cast<double>(decay);
    return rate + (floor - rate) * std::min(fallen, 1.0);
  }
  if (kind == Kind::step && every > 0) return rate * std::pow(factor, static_cast<double>(now / every));
  return rate;
}

void Improvement::observe(double loss) {
  if (std::isfinite(loss) && (!best || loss < *best)) {
    best = loss;
    without = 0;
  } else {
    ++without;
  }
}

void Plateau::observe(State& state, double loss) const {
  if (patience == 0) return;
  state.improvement.observe(loss);
  if (state.improvement.without < patience) return;
  state.scale *= factor;
  state.improvement.without = 0;
}

}  // namespace trireme
