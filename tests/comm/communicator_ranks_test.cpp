// One suite for all communicators: MPI, shared memory of one host, and ranks dealt to two pretended hosts. Values are
// small integers, so every sum is exact in every type.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "comm/node_communicator.hpp"
#include "comm/self_communicator.hpp"
#include "core/base/checked.hpp"
#include "tests/comm/collective_checks.hpp"
#include "tests/comm/world.hpp"

namespace trireme {
namespace {

/// Small chunks, so that middling tensors already take many.
constexpr std::size_t small_chunk = 4096;

std::shared_ptr<Communicator> make(const std::string& kind) {
  const auto world = test::world();
  if (kind == "mpi") return world;
  if (kind == "node") return with_node_window(world);
  if (kind == "small_chunks") return with_node_window(world, {.chunk_bytes = small_chunk});
  if (kind == "two_hosts") {
    return with_node_window(world, {.host = world->rank() % 2 == 0 ? "even" : "odd", .chunk_bytes = small_chunk});
  }
  if (kind == "large_chunks_two_hosts")
    return with_node_window(world, {.host = world->rank() % 2 == 0 ? "even" : "odd"});
  if (kind == "uneven_hosts") {
    return with_node_window(world, {.host = world->rank() == 0 ? "first" : "rest", .chunk_bytes = small_chunk});
  }
  if (kind == "reversed") return world->split(0, -world->rank(), "reversed");
  if (kind == "node_halves") return with_node_window(world)->split(world->rank() % 2, world->rank(), "half");
  return std::make_shared<SelfCommunicator>();
}

using test::expected;
using test::value_of;
using test::wrong;

class CommunicatorTest : public test::CollectiveTest {
 protected:
  CommunicatorTest() { use(get(GetParam()), Device::cpu()); }

  /// Made once, in the order of the tests: the same on all ranks.
  static std::shared_ptr<Communicator> get(const std::string& kind) {
    static std::map<std::string, std::shared_ptr<Communicator>> made;
    auto& slot = made[kind];
    if (!slot) slot = make(kind);
    return slot;
  }
};

const std::vector<std::int64_t> counts{0, 1, 2, 7, 127, 1000, 4097, 20001, 100003};

TEST_P(CommunicatorTest, AllReduceOfEveryTypeSizeAndOperation) { check_all_reduce({test::all_types, counts}); }

TEST_P(CommunicatorTest, SumsInSharedMemoryAreTheSameAsElsewhere) {
  const auto memory = comm_->shared_allocator(std::size_t{3} << 20);
  for (const auto dtype : {DType::f32, DType::f64, DType::bf16}) {
    const std::int64_t n = 100003;
    const Tensor plane(memory->allocate(to_size(n) * size_of(dtype)), 0, {n}, dtype);
    for (int step = 0; step < 3; ++step) {
      plane.copy_from(filled(n, dtype, [&](auto i) { return value_of(rank_ + step, i); }));
      auto first = comm_->all_reduce(plane.slice(0, 70000));
      auto second = comm_->all_reduce(plane.slice(70000, n - 70000));
      second.wait();
      first.wait();
      EXPECT_EQ(wrong(plane,
                      [&](auto i) {
                        int sum = 0;
                        for (int r = 0; r < size_; ++r) sum += value_of(r + step, i);
                        return sum;
                      }),
                0);
    }
  }
}

/// Small and staged sums share the staging memory in turns; each must leave the one before alone.
TEST_P(CommunicatorTest, SumsOfAllSizesFollowEachOther) {
  std::uint32_t state = 12345;  // the same sizes on all ranks
  for (int step = 0; step < 300; ++step) {
    state = state * 1664525u + 1013904223u;
    const std::int64_t n = 1 + (state >> 8) % (std::uint32_t{1} << (state >> 28));
    const auto in = filled(n, DType::f32, [&](auto i) { return value_of(rank_ + step, i); });
    comm_->all_reduce(in).wait();
    const auto want = [&](auto i) {
      int sum = 0;
      for (int r = 0; r < size_; ++r) sum += value_of(r + step, i);
      return sum;
    };
    ASSERT_EQ(wrong(in, want), 0) << "sum " << step << " of " << n;
  }
}

TEST_P(CommunicatorTest, SumsAreBitwiseEqualOnAllRanks) {
  const std::int64_t n = 50021;
  const auto in = Tensor::empty({n}, DType::f32);
  std::int64_t i = 0;
  for (float& x : in.span<float>()) x = 1.0f / static_cast<float>(1 + (i++ * 31 + rank_ * 17) % 1009);
  comm_->all_reduce(in).wait();
  const auto all = Tensor::empty({size_, n}, DType::f32);
  comm_->all_gather(in, all).wait();
  for (int r = 1; r < size_; ++r) {
    const auto a = all.slice(0, 1).span<float>(), b = all.slice(r, 1).span<float>();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin())) << "rank " << r << " has other bits than rank 0";
  }
}

/// Bytes around the sizes at which large sums change their way: one block per rank of 32 KiB (other algorithm), of a
/// piece (256 KiB), of all pieces that may be on their way, and one more.
std::vector<std::int64_t> edge_bytes(int ranks) {
  std::vector<std::int64_t> out;
  for (const std::int64_t block : {32, 256, 4 * 256, 5 * 256}) out.push_back(block * 1024 * ranks);
  return out;
}

TEST_P(CommunicatorTest, LargeSumsAroundEveryEdge) {
  const bool slow = GetParam() == "two_hosts" || GetParam() == "uneven_hosts";
  if (slow) GTEST_SKIP() << "skipped: thousands of small chunks between hosts; large_chunks_two_hosts covers the sizes";
  for (const auto dtype : {DType::f32, DType::f64, DType::i32, DType::i64, DType::bf16}) {
    for (const auto bytes : edge_bytes(size_)) {
      for (const std::int64_t more : {-1, 0, 1, 129}) {
        const auto n = bytes / static_cast<std::int64_t>(size_of(dtype)) + more;
        const auto in = filled(n, dtype, [&](auto i) { return value_of(rank_, i); });
        const auto out = filled(n, dtype, [](auto) { return 99; });
        const auto want = [&](auto i) { return expected(Reduction::sum, size_, i); };
        comm_->all_reduce(in, out).wait();
        EXPECT_EQ(wrong(out, want), 0) << name_of(dtype) << " x " << n;
        EXPECT_EQ(wrong(in, [&](auto i) { return value_of(rank_, i); }), 0) << "the input was changed";
        comm_->all_reduce(in).wait();
        EXPECT_EQ(wrong(in, want), 0) << name_of(dtype) << " x " << n << " in place";
      }
    }
  }
}

TEST_P(CommunicatorTest, LargeSumsOverlapWithEachOtherAndWithMessages) {
  const int next = (rank_ + 1) % size_, last = (rank_ + size_ - 1) % size_;
  std::vector<Tensor> values;
  std::vector<Event> events;
  for (int k = 0; k < 10; ++k) {
    const std::int64_t n = k % 3 == 2 ? 50 : 90000 * size_ + 1000 * k;
    values.push_back(filled(n, DType::f32, [&](auto i) { return value_of(rank_ + k, i); }));
    events.push_back(comm_->all_reduce(values.back()));
  }
  const auto mine = filled(300000, DType::f32, [&](auto i) { return value_of(rank_, i); });
  const auto got = filled(300000, DType::f32, [](auto) { return 99; });
  comm_->exchange(mine, next, got, last);
  EXPECT_EQ(wrong(got, [&](auto i) { return value_of(last, i); }), 0);
  for (std::size_t k = 0; k < events.size(); ++k) events[(k * 3 + to_size(rank_)) % events.size()].wait();
  for (int k = 0; k < 10; ++k) {
    const auto sum = [&](auto i) {
      int out = 0;
      for (int r = 0; r < size_; ++r) out += value_of(r + k, i);
      return out;
    };
    EXPECT_EQ(wrong(values[to_size(k)], sum), 0) << k;
  }
}

TEST_P(CommunicatorTest, LargeSumsHaveTheSameBitsOnAllRanksAndEveryTime) {
  constexpr unsigned seed = 20261;
  SCOPED_TRACE(fmt::format("seed {}", seed));
  const std::int64_t n = 200003 * size_;
  const auto in = Tensor::empty({n}, DType::f32), first = Tensor::empty({n}, DType::f32);
  std::mt19937 random(seed + static_cast<unsigned>(rank_));
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (float& x : in.span<float>()) x = uniform(random);
  comm_->all_reduce(in, first).wait();
  const auto again = in.clone();
  comm_->all_reduce(again).wait();
  EXPECT_EQ(std::memcmp(first.raw(), again.raw(), first.bytes()), 0) << "another time, in place, other bits";
  const auto of_rank_0 = first.clone();
  comm_->broadcast(of_rank_0, 0).wait();
  EXPECT_EQ(std::memcmp(first.raw(), of_rank_0.raw(), first.bytes()), 0) << "other bits than on rank 0";
}

TEST_P(CommunicatorTest, GathersScattersAndBroadcasts) { check_gathers({test::all_types, counts}); }

TEST_P(CommunicatorTest, ReduceScatterReduceAndAllToAll) { check_reduce_scatter({test::all_types, counts}); }

TEST_P(CommunicatorTest, OverlappingMemoryIsAllowedWhereSaid) {
  const std::int64_t n = 3000;
  const auto all = filled(n * size_, DType::f32, [](auto) { return 99; });
  all.slice(n * rank_, n).copy_from(filled(n, DType::f32, [&](auto i) { return value_of(rank_, i); }));
  comm_->all_gather(all.slice(n * rank_, n), all).wait();
  EXPECT_EQ(wrong(all, [&](auto i) { return value_of(static_cast<int>(i / n), i % n); }), 0);
}

TEST_P(CommunicatorTest, MessagesInARingBothWays) { check_ring(); }

TEST_P(CommunicatorTest, CallsMayBeWaitedForInAnyOrder) { check_any_order(); }

TEST_P(CommunicatorTest, TextsAndNumbersOfTheHost) {
  const auto texts = comm_->all_gather_text(std::string(to_size(rank_) * 3, 'x') + "|");
  ASSERT_EQ(texts.size(), to_size(size_));
  for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r * 3, 'x') + "|");
  const std::vector<double> mine{static_cast<double>(rank_), 1.0};
  EXPECT_EQ(comm_->all_reduce_values(mine), (std::vector<double>{size_ * (size_ - 1) / 2.0, 1.0 * size_}));
}

TEST_P(CommunicatorTest, SplitsInReverseAndDropsThoseWithoutColour) {
  const auto part = comm_->split(rank_ == 0 ? -1 : 4, -rank_, "tail");
  ASSERT_EQ(part == nullptr, rank_ == 0);
  if (!part) return;
  EXPECT_EQ(part->size(), size_ - 1);
  EXPECT_EQ(part->rank(), size_ - 1 - rank_);
  const double one = 1;
  EXPECT_EQ(part->all_reduce_values({&one, 1}).front(), size_ - 1);
}

TEST_P(CommunicatorTest, RecordsCallsWithNumbersAndTimes) {
  comm_->log().set_phase("a test");
  const auto before = comm_->log().calls();
  comm_->all_reduce(Tensor::zeros({40}, DType::f64)).wait();
  comm_->barrier().wait();
  comm_->log().set_phase("");
  const auto entries = comm_->log().recent();
  ASSERT_GE(comm_->log().calls(), before + 2);
  const auto found = std::find_if(entries.rbegin(), entries.rend(),
                                  [](const auto& entry) { return entry.kind == Collective::all_reduce; });
  ASSERT_NE(found, entries.rend());
  EXPECT_EQ(found->count, 40);
  EXPECT_EQ(found->dtype, DType::f64);
  EXPECT_EQ(found->phase, "a test");
  EXPECT_TRUE(found->is_finished());
  EXPECT_GE(found->finished, found->started);
}

TEST_P(CommunicatorTest, WrongCallsAreRefusedBeforeAnythingIsSent) {
  const auto three = Tensor::zeros({3}, DType::f32), four = Tensor::zeros({4}, DType::f32);
  EXPECT_THROW(comm_->all_reduce(three, four), Error);
  EXPECT_THROW(comm_->all_reduce(three, Tensor::zeros({3}, DType::f64)), Error);
  EXPECT_THROW(comm_->all_gather(three, Tensor::zeros({3 * size_ + 1}, DType::f32)), Error);
  EXPECT_THROW(comm_->broadcast(three, size_), Error);
  EXPECT_THROW(comm_->send(three, -1), Error);
  EXPECT_THROW(comm_->all_reduce(Tensor{}), Error);
  comm_->barrier().wait();
}

INSTANTIATE_TEST_SUITE_P(All, CommunicatorTest,
                         ::testing::Values("self", "mpi", "node", "small_chunks", "two_hosts", "large_chunks_two_hosts",
                                           "uneven_hosts", "reversed", "node_halves"),
                         [](const auto& chosen) { return chosen.param; });

}  // namespace
}  // namespace trireme
