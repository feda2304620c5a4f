#include "launcher/run/peak_flops.hpp"

#include <algorithm>
#include <chrono>

#include "core/ops/gemm.hpp"

namespace trireme {

double measured_peak_flops(Context& context) {
  constexpr std::int64_t n = 1024;
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  const Tensor a = context.zeros({n, n}, DType::f32), b = context.zeros({n, n}, DType::f32);
  const Tensor c = context.empty({n, n}, DType::f32);
  double best = 0;
  const auto started = Clock::now();
  for (int round = 0; round < 3 || (round < 100 && seconds(Clock::now() - started) < 0.2); ++round) {
    const auto begin = Clock::now();
    ops::product_into(context, {.a = a, .b = b, .m = n, .n = n, .k = n}, {c, Write::overwrite});
    context.stream().synchronize();
    best = std::max(best, 2.0 * n * n * n / seconds(Clock::now() - begin));
  }
  return best;
}

}  // namespace trireme
