#include "comm/node_reduce.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "core/kernels/parallel.hpp"

namespace trireme {
namespace {

constexpr std::int64_t block = 2048;       // elements kept in the first-level cache
constexpr std::int64_t grain = 64 * 1024;  // elements that are worth a thread

template <class T>
using Wide = std::conditional_t<sizeof(T) == 2, float, T>;

struct Sum {
  template <class A>
  A operator()(A a, A b) const {
    return static_cast<A>(a + b);
  }
};
struct Max {
  template <class A>
  A operator()(A a, A b) const {
    return a < b ? b : a;
  }
};
struct Min {
  template <class A>
  A operator()(A a, A b) const {
    return b < a ? b : a;
  }
};

template <class T, class Op>
void reduce_block(const NodeReduction& r, std::int64_t first, std::int64_t n) {
  std::array<Wide<T>, block> total;
  const auto source = [&](std::size_t k) { return reinterpret_cast<const T*>(r.sources[k]) + first; };
  const T* x = source(0);
  for (std::int64_t i = 0; i < n; ++i) total[static_cast<std::size_t>(i)] = static_cast<Wide<T>>(x[i]);
  for (std::size_t k = 1; k < r.sources.size(); ++k) {
    x = source(k);
    Wide<T>* a = total.data();
    for (std::int64_t i = 0; i < n; ++i) a[i] = Op{}(a[i], static_cast<Wide<T>>(x[i]));
  }
  for (std::byte* target : r.targets) {
    T* y = reinterpret_cast<T*>(target) + first;
    if constexpr (std::is_same_v<T, Wide<T>>) {
      std::memcpy(y, total.data(), static_cast<std::size_t>(n) * sizeof(T));
    } else {
      for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(total[static_cast<std::size_t>(i)]);
    }
  }
}

template <class T, class Op>
void reduce_all(const NodeReduction& r) {
  const auto reduce = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; i += block) reduce_block<T, Op>(r, i, std::min(block, last - i));
  };
  if (r.workers == Workers::this_thread) return reduce(0, r.count);
  parallel_ranges(r.count, grain, reduce);
}

template <class T>
void reduce_type(const NodeReduction& r) {
  switch (r.reduction) {
    case Reduction::max:
      return reduce_all<T, Max>(r);
    case Reduction::min:
      return reduce_all<T, Min>(r);
    case Reduction::sum:
      break;
  }
  return reduce_all<T, Sum>(r);
}

}  // namespace

void reduce_in_rank_order(const NodeReduction& r) {
  switch (r.dtype) {
    case DType::f64:
      return reduce_type<double>(r);
    case DType::bf16:
      return reduce_type<BFloat16>(r);
    case DType::f16:
      return reduce_type<Float16>(r);
    case DType::i32:
      return reduce_type<std::int32_t>(r);
    case DType::i64:
      return reduce_type<std::int64_t>(r);
    case DType::u8:
      return reduce_type<std::uint8_t>(r);
    case DType::f32:
      break;
  }
  return reduce_type<float>(r);
}

}  // namespace trireme
