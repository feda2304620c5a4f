#include "launcher/run/peak_flops.hpp"

#include <algorithm>
#include <chrono>
#include <random>

#include "core/kernels/team.hpp"
#include "core/ops/gemm.hpp"

namespace trireme {
namespace {

/// A square of values between -1 and 1: a GPU multiplies zeros faster than it ever does numbers.
Tensor square_of_noise(Context& context, std::int64_t n, DType dtype) {
  const Tensor out = Tensor::empty({n, n}, dtype, context.device());
  with_floating(dtype, "peak rate", [&](auto zero) {
    using T = decltype(zero);
    std::mt19937 bits(1);
    std::vector<T> block(std::size_t{1} << 20);
    for (T& one : block) one = static_cast<T>(static_cast<Accum<T>>(bits()) / Accum<T>{0x1p31} - 1);
    const Tensor rows = Tensor::from(block, {std::ssize(block) / n, n}, out.device());
    for (std::int64_t first = 0; first < n; first += rows.shape()[0])
      out.slice(first, rows.shape()[0]).copy_from(rows, context.stream());
    context.stream().synchronize();
  });
  return out;
}

}  // namespace

double measured_peak_flops(Context& context, DType wanted) {
  const bool on_gpu = context.device().is_cuda();
  const std::int64_t n = on_gpu ? 8192 : 1024;
  const DType dtype = on_gpu ? wanted : DType::f32;
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  const Tensor a = square_of_noise(context, n, dtype), b = square_of_noise(context, n, dtype);
  const Tensor c = Tensor::empty({n, n}, dtype, context.device());
  double best = 0;
  const auto started = Clock::now();
  for (int round = 0; round < 3 || (round < 100 && seconds(Clock::now() - started) < 0.2); ++round) {
    const auto begin = Clock::now();
    ops::product_into(context, {.a = a, .b = b, .m = n, .n = n, .k = n}, {c, Write::overwrite});
    context.stream().synchronize();
    best = std::max(best, 2.0 * static_cast<double>(n * n) * static_cast<double>(n) / seconds(Clock::now() - begin));
  }
  return best;
}

}  // namespace trireme
