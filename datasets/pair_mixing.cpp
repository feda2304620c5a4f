#include "datasets/pair_mixing.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "core/kernels/team.hpp"
#include "datasets/transform.hpp"

namespace trireme::detail {
namespace {

constexpr double most_alpha = 2;  // beyond it the draws below would be refused too often

void check_alpha(const char* what, double alpha) {
  if (!(alpha >= 0 && alpha <= most_alpha))
    fail(ExitCode::usage, "{} with shares of Beta({}, {}): wanted a number in [0, {}]", what, alpha, alpha, most_alpha);
}

/// A draw of Beta(alpha, alpha) by Johnk (1964): of two powers of uniform numbers whose sum is at most 1 the first's
/// part of the sum. In logarithms, as such powers leave the range of a double for a small alpha.
double beta_draw(double alpha, SampleKey key) {
  for (key.place = 1;; ++key.place) {
    const auto bits = key.bits();
    const double x = std::log(uniform_from(bits[0], bits[1])) / alpha;
    const double y = std::log(uniform_from(bits[2], bits[3])) / alpha;
    const double most = std::max(x, y), sum = std::exp(x - most) + std::exp(y - most);
    if (most + std::log(sum) <= 0) return std::exp(x - most) / sum;
  }
}

template <class T>
void blend(double share, std::byte* own_bytes, const std::byte* neighbour_bytes, std::size_t count) {
  using A = Accum<T>;
  T* __restrict own = reinterpret_cast<T*>(own_bytes);
  const T* __restrict neighbour = reinterpret_cast<const T*>(neighbour_bytes);
  const A a = static_cast<A>(share), b = static_cast<A>(1 - share);
  for (std::size_t k = 0; k < count; ++k)
    own[k] = static_cast<T>(a * static_cast<A>(own[k]) + b * static_cast<A>(neighbour[k]));
}

}  // namespace

PairMixer::PairMixer(const PairMixing& mixing, std::uint64_t seed, const RowType& row)
    : mixing_(mixing), seed_(random_key("mixed pairs", seed)), row_(row) {
  check_alpha("mixup", mixing.mixup);
  check_alpha("cutmix", mixing.cutmix);
  if (!is_floating(row.dtype) || row.shape.dims() != 3)
    fail(ExitCode::usage, "mixup and cutmix take images (H, W, C) of a floating type, the field {} is {} {}",
         mixing.image, name_of(row.dtype), row.shape.text());
}

PairShare PairMixer::share_of(std::uint64_t position) const {
  const SampleKey key{.seed = seed_, .position = position, .place = 0};
  const auto bits = key.bits();
  const bool both = mixing_.mixup > 0 && mixing_.cutmix > 0;
  PairShare out{.cut = both ? (bits[0] & 1) != 0 : mixing_.cutmix > 0};
  out.own = beta_draw(out.cut ? mixing_.cutmix : mixing_.mixup, key);
  if (!out.cut) return out;
  const std::int64_t height = row_.shape[0], width = row_.shape[1];
  // Along a side: where what lies inside begins, and how long it is.
  const auto inside = [&](std::uint32_t word, std::int64_t side) {
    const auto length = static_cast<std::int64_t>(std::sqrt(1 - out.own) * static_cast<double>(side));
    const auto middle = static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(side)) >> 32);
    const std::int64_t begin = std::max<std::int64_t>(0, middle - length / 2);
    return std::pair{begin, std::min(side, middle - length / 2 + length) - begin};
  };
  const auto [left, across] = inside(bits[1], width);
  const auto [top, down] = inside(bits[2], height);
  out.part = {.left = left, .top = top, .width = across, .height = down};
  out.own = 1 - static_cast<double>(across * down) / static_cast<double>(width * height);
  return out;
}

void PairMixer::mix(const PairShare& share, std::byte* own, const std::byte* neighbour) const {
  if (!share.cut) {
    with_floating(row_.dtype, "mixup",
                  [&](auto zero) { blend<decltype(zero)>(share.own, own, neighbour, to_size(row_.shape.elements())); });
    return;
  }
  const std::int64_t pixel = row_.shape[2] * static_cast<std::int64_t>(size_of(row_.dtype));
  for (std::int64_t y = share.part.top; y < share.part.top + share.part.height; ++y) {
    const std::int64_t at = (y * row_.shape[1] + share.part.left) * pixel;
    std::memcpy(own + at, neighbour + at, to_size(share.part.width * pixel));
  }
}

}  // namespace trireme::detail
