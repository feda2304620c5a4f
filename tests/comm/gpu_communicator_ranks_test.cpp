// Communicators for data on GPUs, with real ranks. Each kind is there twice: on a GPU (names with cuda_, skipped where
// there is none; tests/gpu/run.sh starts several ranks on one), and as the same code over host memory, with MPI in
// NCCL's place. Values are small integers, so every sum is exact in every type.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "comm/call_group.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "tests/comm/collective_checks.hpp"
#include "tests/comm/gpu_kinds.hpp"

namespace trireme {
namespace {

using test::compute_on;

using test::expected;
using test::value_of;
using test::wrong;

class GpuCommunicatorTest : public test::CollectiveTest {
 protected:
  void SetUp() override {
    if (!test::gpu_kind_is_there(GetParam())) GTEST_SKIP() << "skipped: no GPU (" << cuda_unavailable_reason() << ")";
    use(test::gpu_communicator(GetParam()), test::device_of(GetParam()));
  }
};

const std::vector<std::int64_t> gpu_counts{0, 1, 7, 1000, 4097, 100003};
const std::vector<DType> added(test::all_types.begin(), test::all_types.end() - 1);  // all but u16

TEST_P(GpuCommunicatorTest, AllReduceOfEveryTypeSizeAndOperation) { check_all_reduce({added, gpu_counts}); }

/// 256 + 1 + 1 is 256 where every step is rounded to bf16, and 258 in f32.
TEST_P(GpuCommunicatorTest, SumsOfBf16AreRoundedOnce) {
  const std::int64_t n = 1003;
  const auto mine = [&](auto) { return rank_ == 0 ? 256 : 1; };
  const auto want = [&](auto) { return static_cast<float>(BFloat16(static_cast<float>(256 + size_ - 1))); };
  const auto sum = filled(n, DType::bf16, mine), piece = filled(n, DType::bf16, mine);
  comm_->all_reduce(sum).wait();
  EXPECT_EQ(wrong(sum, want), 0);
  const auto all = filled(n * size_, DType::bf16, mine), total = filled(n * size_, DType::bf16, mine);
  comm_->reduce_scatter(all, piece).wait();
  EXPECT_EQ(wrong(piece, want), 0);
  comm_->reduce_to(size_ - 1, all, rank_ == size_ - 1 ? total : Tensor{}).wait();
  EXPECT_EQ(wrong(total, rank_ == size_ - 1 ? std::function<float(std::int64_t)>(want) : mine), 0);
}

TEST_P(GpuCommunicatorTest, GathersScattersAndBroadcasts) { check_gathers({test::all_types, gpu_counts}); }

TEST_P(GpuCommunicatorTest, ReduceScatterReduceAndAllToAll) { check_reduce_scatter({added, gpu_counts}); }

TEST_P(GpuCommunicatorTest, APieceMayBeGatheredWhereItLies) {
  const std::int64_t n = 3000;
  const auto all = filled(n * size_, DType::f32, [&](auto i) { return i / n == rank_ ? value_of(rank_, i % n) : 99; });
  comm_->all_gather(all.slice(n * rank_, n), all).wait();
  EXPECT_EQ(wrong(all, [&](auto i) { return value_of(static_cast<int>(i / n), i % n); }), 0);
}

TEST_P(GpuCommunicatorTest, MessagesInARingBothWays) { check_ring(); }

TEST_P(GpuCommunicatorTest, AGroupOfMessagesAndSums) {
  const std::int64_t n = 50001;
  const int next = (rank_ + 1) % size_, last = (rank_ + size_ - 1) % size_;
  const auto mine = filled(n, DType::f32, [&](auto i) { return value_of(rank_, i); });
  const auto got = filled(n, DType::f32, [](auto) { return 99; }),
             second = filled(n, DType::f32, [](auto) { return 99; });
  CallGroup messages(*comm_);
  comm_->send(mine, next);
  comm_->send(mine, last);
  comm_->recv(got, last);
  comm_->recv(second, next);
  messages.end().wait();
  EXPECT_EQ(wrong(got, [&](auto i) { return value_of(last, i); }), 0);
  EXPECT_EQ(wrong(second, [&](auto i) { return value_of(next, i); }), 0);
  const auto half = filled(n, DType::bf16, [&](auto i) { return value_of(rank_, i); });
  CallGroup sums(*comm_);
  comm_->all_reduce(mine);
  comm_->all_reduce(half);
  sums.end().wait();
  for (const auto& sum : {mine, half})
    EXPECT_EQ(wrong(sum, [&](auto i) { return expected(Reduction::sum, size_, i); }), 0) << name_of(sum.dtype());
}

/// What is computed before a call is in it, and what waits for its event comes after: no host in between.
TEST_P(GpuCommunicatorTest, CallsAreInOrderWithTheStreamThatComputes) {
  const Stream& compute = compute_on(device_);
  const std::int64_t n = 1 << 20;
  const auto x = filled(n, DType::f32, [&](auto i) { return value_of(rank_, i); });
  const auto y = filled(n, DType::f32, [](auto) { return 0; });
  const auto share = 1.0f / static_cast<float>(size_);
  for (int step = 0; step < 20; ++step) {
    launch_elements(compute, n, kernels::AddScaled<float>{x.data<float>(), y.data<float>(), 1, 0});  // y = x
    const auto event = comm_->all_reduce(y);
    compute.wait(event);
    // x = its share of the sum and 1 more, in two halves so that a late sum would be seen in one of them.
    launch_elements(compute, n, kernels::Fill<float>{x.data<float>(), 1});
    launch_elements(compute, n, kernels::AddScaled<float>{y.data<float>(), x.data<float>(), share, 1});
  }
  compute.synchronize();
  double mean = 0;
  for (int r = 0; r < size_; ++r) mean += value_of(r, 3) / static_cast<double>(size_);
  const auto found = x.to_vector<float>();
  EXPECT_NEAR(found[3], mean + 20, 1e-3);
  EXPECT_EQ(std::set<float>(found.begin(), found.end()).size() <= 5, true) << "elements of equal index differ";
}

TEST_P(GpuCommunicatorTest, CallsMayBeWaitedForInAnyOrder) { check_any_order(); }

TEST_P(GpuCommunicatorTest, SplitsIntoHalvesAndDropsThoseWithoutColour) {
  const auto half = comm_->split(rank_ % 2, rank_, "half");
  const auto ones = filled(33, DType::f32, [](auto) { return 1; });
  half->all_reduce(ones).wait();
  EXPECT_EQ(wrong(ones, [&](auto) { return half->size(); }), 0);
  const auto tail = comm_->split(rank_ == 0 ? -1 : 4, -rank_, "tail");
  ASSERT_EQ(tail == nullptr, rank_ == 0);
  if (!tail) return;
  EXPECT_EQ(tail->rank(), size_ - 1 - rank_);
  const auto ranks = filled(size_ - 1, DType::i32, [](auto) { return 99; });
  tail->all_gather(filled(1, DType::i32, [&](auto) { return rank_; }), ranks).wait();
  EXPECT_EQ(wrong(ranks, [&](auto i) { return size_ - 1 - i; }), 0);
}

TEST_P(GpuCommunicatorTest, HostValuesTakeTheCommunicatorBelow) {
  const std::vector<double> mine{static_cast<double>(rank_), 1.0};
  EXPECT_EQ(comm_->all_reduce_values(mine), (std::vector<double>{size_ * (size_ - 1) / 2.0, 1.0 * size_}));
  EXPECT_EQ(comm_->all_gather_text("x").size(), to_size(size_));
  comm_->barrier().wait();
}

TEST_P(GpuCommunicatorTest, SharedMemoryIsOfTheDevice) {
  const auto memory = comm_->shared_allocator(400000);
  ASSERT_EQ(memory->device(), device_);
  const Tensor plane(memory->allocate(400000), 0, {100000}, DType::f32);
  plane.copy_from(filled(100000, DType::f32, [&](auto i) { return value_of(rank_, i); }));
  comm_->all_reduce(plane).wait();
  EXPECT_EQ(wrong(plane, [&](auto i) { return expected(Reduction::sum, size_, i); }), 0);
}

INSTANTIATE_TEST_SUITE_P(All, GpuCommunicatorTest,
                         ::testing::Values("nccl", "nccl_reversed", "staged", "staged_mpi", "cuda_nccl",
                                           "cuda_nccl_reversed", "cuda_nccl_registered", "cuda_staged",
                                           "cuda_staged_direct"),
                         [](const auto& chosen) { return chosen.param; });

}  // namespace
}  // namespace trireme
