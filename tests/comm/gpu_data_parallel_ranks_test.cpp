// Gradients on a GPU: written, summed and read in stream order, without the host in between; and the same over host
// memory. The next step begins while the sums of the last one may still be under way.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "comm/parallel/data_parallel.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "tests/comm/gpu_kinds.hpp"
#include "tests/comm/listed_parameters.hpp"

namespace trireme {
namespace {

using test::Trained;

class GpuDataParallelTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!test::gpu_kind_is_there(GetParam())) GTEST_SKIP() << "skipped: no GPU (" << cuda_unavailable_reason() << ")";
  }
};

/// What backward does on the stream: overwrites or adds.
void contribute(const Stream& compute, GradientStore& store, Parameter& parameter, float value) {
  const auto to = store.acquire(parameter);
  const auto n = to.tensor.elements();
  auto* out = to.tensor.data<float>();
  ASSERT_EQ(to.mode, Write::overwrite);
  launch_elements(compute, n, kernels::Fill<float>{out, value});
}

TEST_P(GpuDataParallelTest, SumsFollowTheStreamAndTheStreamFollowsThem) {
  constexpr unsigned seed = 7;
  SCOPED_TRACE(fmt::format("seed {}", seed));
  const auto comm = test::gpu_communicator(GetParam());
  const Stream& compute = test::compute_on(test::device_of(GetParam()));
  std::vector<std::int64_t> sizes;
  std::mt19937 shared(seed), mine(seed + static_cast<unsigned>(comm->rank()));
  for (int k = 0; k < 12; ++k) sizes.push_back(1 + static_cast<std::int64_t>(shared() % 60000));
  const auto memory = comm->shared_allocator(std::size_t{8} << 20);
  Trained net(sizes, DType::f32, *memory, {3});
  ASSERT_EQ(net.planes.grad.device(), test::device_of(GetParam()));
  DataParallel parallel(comm, net.layout, net.planes.grad, {.bytes = 300000, .first_bytes = 50000});
  const auto used = [](int step, int rank, std::size_t k) { return (static_cast<int>(k) + step * 3 + rank) % 3 != 0; };
  constexpr int steps = 5;
  std::vector<Tensor> seen;
  for (int step = 0; step < steps; ++step) {
    parallel.begin();
    parallel.send();
    std::vector<std::size_t> order{0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11};
    std::shuffle(order.begin(), order.end(), mine);
    for (const auto k : order) {
      if (!used(step, comm->rank(), k)) continue;
      contribute(compute, parallel, net.module[k], static_cast<float>(comm->rank() + 1 + step));
      parallel.ready(net.module[k]);
    }
    parallel.flush();
    seen.push_back(Tensor::empty(net.planes.grad.shape(), DType::f32, net.planes.grad.device()));
    launch_elements(compute, seen.back().elements(),
                    kernels::AddScaled<float>{net.planes.grad.data<float>(), seen.back().data<float>(), 1, 0});
  }
  compute.synchronize();
  for (int step = 0; step < steps; ++step) {
    const auto values = seen[static_cast<std::size_t>(step)].to_vector<float>();
    for (std::size_t k = 0; k < net.layout.trained(); ++k) {
      const auto& entry = net.layout.entries()[k];
      const auto number = static_cast<std::size_t>(std::stoi(entry.name.substr(1)));
      float want = 0;
      for (int r = 0; r < comm->size(); ++r) want += used(step, r, number) ? static_cast<float>(r + 1 + step) : 0.0f;
      const auto first = values.begin() + entry.offset;
      EXPECT_EQ(std::count(first, first + entry.count, want), entry.count) << "step " << step << " " << entry.name;
    }
  }
}

TEST_P(GpuDataParallelTest, NumbersAreSummedWhereTheyLie) {
  const auto comm = test::gpu_communicator(GetParam());
  const auto device = test::device_of(GetParam());
  const Stream& compute = test::compute_on(device);
  const auto memory = comm->shared_allocator(1 << 16);
  Trained net({10}, DType::f32, *memory);
  DataParallel parallel(comm, net.layout, net.planes.grad);
  const auto values = Tensor::from(std::vector<float>{1.5f, static_cast<float>(comm->rank())}, {2}, device);
  const auto twice = Tensor::zeros({2}, DType::f32, device);
  parallel.sum(values);
  launch_elements(compute, 2, kernels::AddScaled<float>{values.data<float>(), twice.data<float>(), 2, 0});
  compute.synchronize();
  const auto n = static_cast<float>(comm->size());
  EXPECT_EQ(twice.to_vector<float>(), (std::vector<float>{3 * n, n * (n - 1)}));
}

INSTANTIATE_TEST_SUITE_P(All, GpuDataParallelTest,
                         ::testing::Values("nccl", "staged", "cuda_nccl", "cuda_nccl_registered", "cuda_staged"),
                         [](const auto& chosen) { return chosen.param; });

}  // namespace
}  // namespace trireme
