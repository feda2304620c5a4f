#include "core/ops/axis_taps.hpp"

#include <algorithm>
#include <cmath>

#include "core/ops/plan_cache.hpp"

namespace trireme::ops {
namespace {

/// Which pixel stands at `at` outside or inside [0, n), -1 for none.
std::int64_t padded_source(PadMode mode, std::int64_t at, std::int64_t n) {
  if (at >= 0 && at < n) return at;
  switch (mode) {
    case PadMode::constant:
      return -1;
    case PadMode::reflect:
      return at < 0 ? -at : 2 * (n - 1) - at;
    case PadMode::replicate:
      return at < 0 ? 0 : n - 1;
    case PadMode::circular:
      break;
  }
  return at < 0 ? at + n : at - n;
}

/// Where element j of the result lies among the elements it is made of.
double position(const AxisTask& task, std::int64_t j) {
  const auto from = static_cast<double>(task.from), to = static_cast<double>(task.to), at = static_cast<double>(j);
  if (task.mode >= 8) return task.to > 1 ? at * (from - 1) / (to - 1) : 0;
  return (at + 0.5) * from / to - 0.5;
}

/// The cubic convolution kernel of Keys 1981 with a = -0.75.
double cubic(double distance) {
  constexpr double a = -0.75;
  const double t = std::abs(distance);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
}

void add_resized(TapTable& table, const AxisTask& task, std::int64_t j) {
  const std::int64_t last = task.from - 1;
  const auto mode = static_cast<Interpolation>(task.mode % 8);
  if (mode == Interpolation::nearest) return table.add(std::min(j * task.from / task.to, last), 1);
  double at = position(task, j);
  if (mode == Interpolation::bilinear) {
    at = std::clamp(at, 0.0, static_cast<double>(last));
    const auto first = std::min(static_cast<std::int64_t>(at), last);
    const double rest = at - static_cast<double>(first);
    table.add(first, 1 - rest);
    if (rest > 0) table.add(first + 1, rest);
    return;
  }
  const auto first = static_cast<std::int64_t>(std::floor(at));
  for (std::int64_t k = first - 1; k <= first + 2; ++k)
    table.add(std::clamp<std::int64_t>(k, 0, last), cubic(at - static_cast<double>(k)));
}

DeviceTaps::Table upload(const TapTable& table, Device device) {
  const auto count = static_cast<std::int64_t>(table.source.size());
  return {Tensor::from(table.start, {static_cast<std::int64_t>(table.start.size())}, device),
          Tensor::from(table.source, {count}, device), Tensor::from(table.weight, {count}, device)};
}

}  // namespace

void TapTable::add(std::int64_t from, double by) {
  source.push_back(static_cast<std::int32_t>(from));
  weight.push_back(by);
}

TapTable TapTable::transposed(std::int64_t from) const {
  std::vector<std::vector<std::pair<std::int32_t, double>>> columns(static_cast<std::size_t>(from));
  for (std::size_t j = 0; j + 1 < start.size(); ++j)
    for (auto k = static_cast<std::size_t>(start[j]); k < static_cast<std::size_t>(start[j + 1]); ++k)
      columns[static_cast<std::size_t>(source[k])].emplace_back(static_cast<std::int32_t>(j), weight[k]);
  TapTable out;
  for (const auto& column : columns) {
    for (const auto& [j, by] : column) out.add(j, by);
    out.end_element();
  }
  return out;
}

TapTable AxisTask::table() const {
  TapTable out;
  for (std::int64_t j = 0; j < to; ++j) {
    if (kind == Kind::resize) {
      add_resized(out, *this, j);
    } else if (const std::int64_t at = padded_source(static_cast<PadMode>(mode), j - before, from); at >= 0) {
      out.add(at, 1);
    }
    out.end_element();
  }
  return out;
}

kernels::Taps DeviceTaps::Table::view() const {
  return {start.data<std::int32_t>(), source.data<std::int32_t>(), weight.data<double>()};
}

std::shared_ptr<DeviceTaps> taps_for(const AxisTask& task, Device device) {
  // Never destroyed: at the end of a program a GPU's runtime may be gone before this is.
  static auto& kept = *new PlanCache<DeviceTaps>;
  const PlanKey key{static_cast<std::int64_t>(task.kind),   task.mode,   task.from, task.to, task.before,
                    static_cast<std::int64_t>(device.kind), device.index};
  return kept.find_or_make(key, [&] {
    const TapTable table = task.table();
    return std::make_shared<DeviceTaps>(DeviceTaps{upload(table, device), upload(table.transposed(task.from), device)});
  });
}

}  // namespace trireme::ops
