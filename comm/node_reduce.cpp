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
class Block {
 public:
  Block(const NodeReduction& reduction, std::int64_t first, std::int64_t n) : r_(reduction), first_(first), n_(n) {}

  /// The last source is added on the way into the targets: each of them is then read and written once.
  void reduce() const {
    const std::size_t last = r_.sources.size() - 1;
    if (last == 0) return spread(source(0), [](T a, T) { return a; });
    if constexpr (std::is_same_v<T, Wide<T>>) {
      if (last == 1) return spread(source(0), Op{});
    }
    std::array<Wide<T>, block> total;
    Wide<T>* a = total.data();
    const T* x = source(0);
    for (std::int64_t i = 0; i < n_; ++i) a[i] = static_cast<Wide<T>>(x[i]);
    for (std::size_t k = 1; k < last; ++k) {
      x = source(k);
      for (std::int64_t i = 0; i < n_; ++i) a[i] = Op{}(a[i], static_cast<Wide<T>>(x[i]));
    }
    spread(a, Op{});
  }

 private:
  const T* source(std::size_t k) const { return reinterpret_cast<const T*>(r_.sources[k]) + first_; }
  T* target(std::size_t k) const { return reinterpret_cast<T*>(r_.targets[k]) + first_; }

  /// combine(a, last source) into all targets. A target is one of the sources or apart from them, never shifted.
  template <class A, class Combine>
  void spread(const A* a, Combine combine) const {
    const T* x = source(r_.sources.size() - 1);
    T* y = target(0);
    if (r_.targets.size() == 1) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n_; ++i) y[i] = static_cast<T>(combine(a[i], static_cast<A>(x[i])));
      return;
    }
    T* z = target(1);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n_; ++i) y[i] = z[i] = static_cast<T>(combine(a[i], static_cast<A>(x[i])));
    for (std::size_t k = 2; k < r_.targets.size(); ++k)
      std::memcpy(target(k), y, static_cast<std::size_t>(n_) * sizeof(T));
  }

  const NodeReduction& r_;
  std::int64_t first_;
  std::int64_t n_;
};

template <class T, class Op>
void reduce_all(const NodeReduction& r) {
  const auto reduce = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; i += block) Block<T, Op>(r, i, std::min(block, last - i)).reduce();
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
    case DType::u16:
      return reduce_type<std::uint16_t>(r);
    case DType::f32:
      break;
  }
  return reduce_type<float>(r);
}

}  // namespace trireme
