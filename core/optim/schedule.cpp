#include "core/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trireme {

double Schedule::at(std::int64_t now) const {
  if (now < warmup) return rate * static_cast<double>(now + 1) / static_cast<double>(warmup);
  if (kind == Kind::cosine && total > warmup) {
    const double done = static_cast<double>(now - warmup) / static_cast<double>(total - warmup);
    return floor + (rate - floor) * 0.5 * (1 + std::cos(std::numbers::pi * std::min(done, 1.0)));
  }
  if (kind == Kind::wsd && decay > 0 && now > total - decay) {
    const double done = static_cast<double>(now - (total - decay)) / static_cast<double>(decay);
    return rate + (floor - rate) * std::min(done, 1.0);
  }
  if (kind == Kind::step && every > 0) return rate * std::pow(factor, static_cast<double>(now / every));
  return rate;
}

}  // namespace trireme
