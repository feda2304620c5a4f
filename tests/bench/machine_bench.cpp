// What this machine can do, measured in the same minutes as everything else: products of matrices as the networks call
// them (f32, oneDNN) and the triad a = b + s * c of STREAM (12 bytes an element, f32), with 1 thread and with all.
#include <omp.h>

#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "core/device/memory.hpp"
#include "core/ops/matmul.hpp"
#include "core/tape/context.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

/// Random numbers, not zeros: products of zeros draw less power and run faster.
Tensor random_matrix(std::int64_t rows, std::int64_t columns) {
  Tensor out = Tensor::empty({rows, columns}, DType::f32);
  std::uint32_t state = 12345;
  for (float& value : out.span<float>()) {
    state = state * 1664525 + 1013904223;
    value = static_cast<float>(state >> 8) * 0x1p-24F - 0.5F;
  }
  return out;
}

void products(int threads) {
  constexpr std::int64_t n = 2048;
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  const Tensor a = random_matrix(n, n), b = random_matrix(n, n);
  const Samples seconds = time_calls(9, [&] { ops::matmul(context, a, b); });
  report(fmt::format("sgemm {} thread(s)", threads), "GFLOP/s", seconds.rate(2e-9 * n * n * n));
}

void triad(int threads) {
  constexpr std::int64_t n = 32 << 20;  // 128 MiB an array: far larger than any cache
  const Tensor a = Tensor::empty({n}, DType::f32), b = Tensor::empty({n}, DType::f32),
               c = Tensor::empty({n}, DType::f32);
  float *x = a.data<float>(), *y = b.data<float>(), *z = c.data<float>();
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) x[i] = 0, y[i] = 1, z[i] = 2;
  const Samples seconds = time_calls(15, [&] {
#pragma omp parallel for simd schedule(static)
    for (std::int64_t i = 0; i < n; ++i) x[i] = y[i] + 3.0F * z[i];
  });
  report(fmt::format("triad {} thread(s)", threads), "GB/s", seconds.rate(12e-9 * static_cast<double>(n)));
}

}  // namespace
}  // namespace trireme::bench

int main() {
  for (const int threads : {1, omp_get_num_procs()}) {
    omp_set_num_threads(threads);
    trireme::bench::products(threads);
    trireme::bench::triad(threads);
  }
  return 0;
}
