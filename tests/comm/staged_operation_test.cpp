// Pieces of a staged call over a port and a communicator whose copies and moves end when the test says so: what is
// under way at once, in which order, and where the elements end up. Ordinary memory stands for the GPU's.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <numeric>

#include "comm/gpu_communicator.hpp"
#include "comm/staged_communicator.hpp"
#include "comm/staged_operation.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

/// Copies at once, but lets their events come when told.
class ScriptedPort final : public StagingPort {
 public:
  std::vector<std::string> trace;
  std::deque<std::shared_ptr<Completion>> under_way;
  std::size_t pinned = 0;
  bool at_once = false;

  const Stream& compute() const override { return compute_; }
  std::shared_ptr<Buffer> host_memory(std::size_t bytes) override {
    pinned += bytes;
    return system_allocator(Device::cpu()).allocate(bytes);
  }
  void join_compute() override { trace.push_back("join"); }
  void to_host(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
    trace.push_back("out " + std::to_string(bytes));
  }
  void to_device(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
    trace.push_back("in " + std::to_string(bytes));
  }
  Event copied_to_host() override { return later(); }
  Event copied_to_device() override { return later(); }

  Event later() {
    if (at_once) return {};
    under_way.push_back(std::make_shared<Completion>());
    return Event(under_way.back());
  }
  /// Whatever is under way ends, oldest first.
  bool end_one() {
    if (under_way.empty()) return false;
    under_way.front()->finish();
    under_way.pop_front();
    return true;
  }

 private:
  Stream compute_{Device::cpu()};
};

/// Three ranks that all have what this one has.
class Mirror final : public Communicator {
 public:
  explicit Mirror(std::shared_ptr<ScriptedPort> port)
      : Communicator({.name = "mirror", .rank = 1, .hosts = {"a", "b", "c"}}, std::make_shared<CollectiveLog>()),
        port_(std::move(port)) {}
  std::shared_ptr<Communicator> split(int, int, const std::string&) override { return shared_; }
  std::shared_ptr<Communicator> shared_;
  std::string failure = {};

  Event execute(const Call& call, CollectiveLog::Ticket) override {
    port_->trace.push_back(fmt::format("{} {}", name_of(call.kind), count_of(call)));
    if (!failure.empty()) {
      auto failed = std::make_shared<Completion>();
      failed->fail(std::make_exception_ptr(Error(failure, ExitCode::peer_lost)));
      return Event(failed);
    }
    if (call.kind == Collective::all_reduce) {
      for (float& x : call.out.span<float>()) x *= 3;
    } else if (call.kind == Collective::all_gather) {
      for (int r = 0; r < 3; ++r) call.out.reshape({3, call.in.elements()}).slice(r, 1).copy_from(call.in);
    } else if (call.kind == Collective::reduce_scatter) {
      const auto mine = call.in.reshape({3, call.out.elements()}).slice(1, 1);
      call.out.copy_from(mine);
      for (float& x : call.out.span<float>()) x *= 3;
    }
    return port_->later();
  }

 private:
  std::shared_ptr<ScriptedPort> port_;
};

class StagedTest : public ::testing::Test {
 protected:
  std::shared_ptr<ScriptedPort> port_ = std::make_shared<ScriptedPort>();
  std::shared_ptr<Mirror> below_ = std::make_shared<Mirror>(port_);

  StagedOperation operation(const Call& call, std::size_t chunk_bytes) {
    return StagedOperation({port_, below_, call, {}, chunk_bytes});
  }
  static Tensor counting(std::int64_t n) {
    const auto out = Tensor::empty({n}, DType::f32);
    std::iota(out.span<float>().begin(), out.span<float>().end(), 1.0f);
    return out;
  }
  /// Lets everything end, one by one; returns how often it had to.
  int run(StagedOperation& staged) {
    int steps = 0;
    while (!staged.advance()) {
      EXPECT_TRUE(port_->end_one()) << "it waits for nothing";
      if (++steps > 1000) break;
    }
    return steps;
  }
  std::string trace() const {
    std::string out;
    for (const auto& line : port_->trace) out += (out.empty() ? "" : "; ") + line;
    return out;
  }
};

TEST_F(StagedTest, TwoPiecesAreUnderWayAtATime) {
  const auto values = counting(10);
  auto staged = operation({.kind = Collective::all_reduce, .in = values, .out = values}, 16);  // 4, 4, 2 elements
  EXPECT_FALSE(staged.advance());
  EXPECT_EQ(trace(), "join; out 16; out 16") << "the third piece has no place yet";
  port_->end_one();
  EXPECT_FALSE(staged.advance());
  EXPECT_EQ(trace(), "join; out 16; out 16; all_reduce 4");
  port_->end_one();  // the second copy: both pieces travel
  EXPECT_FALSE(staged.advance());
  port_->end_one();  // the first is back on the host
  EXPECT_FALSE(staged.advance());
  EXPECT_EQ(trace(), "join; out 16; out 16; all_reduce 4; all_reduce 4; in 16") << "its memory is still being read";
  EXPECT_EQ(run(staged), 6);
  EXPECT_EQ(trace(), "join; out 16; out 16; all_reduce 4; all_reduce 4; in 16; in 16; out 8; all_reduce 2; in 8");
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(values.span<float>()[static_cast<std::size_t>(i)], 3.0f * static_cast<float>(i + 1));
  EXPECT_EQ(port_->pinned, 32U) << "a sum needs one block a piece";
}

TEST_F(StagedTest, SharesAreCutInParallel) {
  const auto mine = counting(5), all = Tensor::zeros({15}, DType::f32);
  auto gather = operation({.kind = Collective::all_gather, .in = mine, .out = all}, 24);  // 2 elements of each share
  run(gather);
  for (std::size_t i = 0; i < 15; ++i) EXPECT_EQ(all.span<float>()[i], static_cast<float>(i % 5 + 1)) << i;
  const auto piece = Tensor::zeros({5}, DType::f32), whole = counting(15);
  auto scatter = operation({.kind = Collective::reduce_scatter, .in = whole, .out = piece}, 24);
  run(scatter);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(piece.span<float>()[i], 3.0f * static_cast<float>(5 + i + 1)) << i;
}

TEST_F(StagedTest, OnlyTheSidesInUseAreCopied) {
  const auto values = counting(4);
  auto other = operation({.kind = Collective::broadcast, .in = values, .out = values, .peer = 0}, 64);
  run(other);
  EXPECT_EQ(trace(), "join; broadcast 4; in 16");
  port_->trace.clear();
  auto root = operation({.kind = Collective::broadcast, .in = values, .out = values, .peer = 1}, 64);
  run(root);
  EXPECT_EQ(trace(), "join; out 16; broadcast 4");
  port_->trace.clear();
  auto reduce = operation({.kind = Collective::reduce, .in = values, .peer = 0}, 64);
  run(reduce);
  EXPECT_EQ(trace(), "join; out 16; reduce 4");
}

TEST_F(StagedTest, AFailureBelowComesUp) {
  const auto values = counting(10);
  below_->failure = "MPI lost rank 2";
  auto staged = operation({.kind = Collective::all_reduce, .in = values, .out = values}, 16);
  try {
    run(staged);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::peer_lost);
    EXPECT_STREQ(error.what(), "MPI lost rank 2");
  }
}

TEST_F(StagedTest, AMessageIsDeliveredByWhoeverLooks) {
  below_->shared_ = below_;
  const auto comm = with_staging(below_, port_);
  const auto got = counting(3);
  const auto event = comm->recv(got, 2);
  EXPECT_FALSE(event.done());
  comm->progress();
  EXPECT_FALSE(event.done());
  while (port_->end_one()) {
  }
  port_->at_once = true;  // the host waits for the copy to the device
  comm->progress();
  EXPECT_TRUE(event.done());
  EXPECT_EQ(trace(), "join; recv 3; in 12");
}

TEST(GpuTransport, OneRankWithoutNcclIsEnoughForTheOtherWay) {
  EXPECT_EQ(nccl_obstacle({"", "", ""}, {"a", "a", "b"}), "");
  EXPECT_EQ(nccl_obstacle({"", "not installed", "too old"}, {"a", "a", "b"}),
            "2 of 3 ranks have no NCCL, first rank 1 on host a: not installed");
}

TEST(GpuTransport, WithoutAGpuTheCommunicatorStaysWhatItIs) {
  const auto port = std::make_shared<ScriptedPort>();
  const std::shared_ptr<Communicator> base = std::make_shared<Mirror>(port);
  EXPECT_EQ(with_gpu(base, Stream(Device::cpu())), base);
}

}  // namespace
}  // namespace trireme
