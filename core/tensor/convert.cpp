#include "core/tensor/convert.hpp"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace trireme {
namespace {

/// The type in which a value of either is exact.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class From, class To>
std::int64_t convert(std::span<const std::byte> in, std::byte* out) {
  std::int64_t overflowed = 0;
  const std::size_t count = in.size() / sizeof(From);
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, in.data() + i * sizeof(From), sizeof value);
    const auto wide = static_cast<Wide<From>>(value);
    const auto narrow = static_cast<To>(static_cast<Wide<To>>(wide));
    if constexpr (sizeof(To) < sizeof(From) || std::is_same_v<To, Float16>) {
      overflowed += std::isfinite(wide) && !std::isfinite(static_cast<Wide<To>>(narrow)) ? 1 : 0;
    }
    std::memcpy(out + i * sizeof(To), &narrow, sizeof narrow);
  }
  return overflowed;
}

}  // namespace

std::int64_t convert_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out) {
  require(in.size() % size_of(from) == 0 && out.size() == in.size() / size_of(from) * size_of(to),
          "{} bytes of {} cannot become {} bytes of {}", in.size(), name_of(from), out.size(), name_of(to));
  return with_floating(from, "convert elements", [&](auto from_zero) {
    return with_floating(to, "convert elements", [&](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      if constexpr (std::is_same_v<From, To>) {
        if (!in.empty()) std::memcpy(out.data(), in.data(), in.size());
        return std::int64_t{0};
      } else {
        return convert<From, To>(in, out.data());
      }
    });
  });
}

}  // namespace trireme
