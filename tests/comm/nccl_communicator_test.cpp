// The NCCL communicator over a scripted NCCL and a clock that only waiting moves: every failure ends within its
// deadline, aborts NCCL once and names rank, host, operation and cause. What the calls compute is tested with real
// ranks in nccl_ranks_test.cpp.
#include <gtest/gtest.h>

#include <thread>

#include "comm/call_group.hpp"
#include "comm/self_communicator.hpp"
#include "tests/comm/fake_nccl.hpp"

namespace trireme {
namespace {

using nccl::Status;
using test::FakeNccl;

class NcclTest : public ::testing::Test {
 protected:
  test::Trace trace_ = std::make_shared<std::vector<std::string>>();
  std::shared_ptr<test::FakeClock> clock_ = std::make_shared<test::FakeClock>();
  std::shared_ptr<FakeNccl> api_ = std::make_shared<FakeNccl>(trace_);
  std::shared_ptr<test::FakeQueue> queue_ = std::make_shared<test::FakeQueue>(trace_);
  std::shared_ptr<test::ScriptedBase> base_ = std::make_shared<test::ScriptedBase>(
      Communicator::Identity{.name = "world", .rank = 1, .hosts = {"a", "b", "c"}}, trace_);
  std::vector<std::string> ended_;  // jobs

  std::shared_ptr<NcclCommunicator> make(const NcclOptions& options = {}) {
    const auto open = [this] {
      return nccl::Tools{
          .api = api_, .queue = queue_, .clock = clock_, .end_job = [this](ExitCode code, const auto& t) {
            ended_.push_back(fmt::format("{} {}", static_cast<int>(code), t));
          }};
    };
    auto made = std::dynamic_pointer_cast<NcclCommunicator>(NcclCommunicator::make(base_, open, options));
    trace_->clear();
    return made;
  }

  /// A tensor that lies on the fake's device, in memory that may be looked at.
  static Tensor there(std::int64_t n, DType dtype = DType::f32) {
    auto memory = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(n) * size_of(dtype) + 1);
    return {
        std::make_shared<Buffer>(memory->data(), memory->size(), Device::meta(), [memory](void*) {}), 0, {n}, dtype};
  }

  std::string trace() const {
    std::string out;
    for (const auto& line : *trace_) out += (out.empty() ? "" : "; ") + line;
    return out;
  }
};

struct Caught {
  ExitCode code = ExitCode::done;
  std::string text = "nothing was thrown";
};

template <class F>
Caught caught(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

void expect_error(const Caught& error, ExitCode code, const std::vector<std::string>& parts) {
  EXPECT_EQ(error.code, code) << error.text;
  for (const auto& part : parts) EXPECT_NE(error.text.find(part), std::string::npos) << part << "\nin: " << error.text;
}

TEST_F(NcclTest, StartsWithTheIdOfRankZeroOnceAllHaveArrived) {
  const auto open = [this] { return nccl::Tools{.api = api_, .queue = queue_, .clock = clock_, .end_job = nullptr}; };
  const auto comm = NcclCommunicator::make(base_, open, {});
  EXPECT_EQ(trace(), "init 1 of 3 as world with y");
  EXPECT_EQ(comm->size(), 3);
  EXPECT_EQ(comm->rank(), 1);
  EXPECT_EQ(comm->host(), "b");
}

TEST_F(NcclTest, RanksThatDoNotArriveAreNamedWithinTheDeadline) {
  base_->texts[{0, 0}] = std::nullopt;
  base_->texts[{2, 0}] = std::nullopt;
  NcclOptions options;
  options.deadlines.start = std::chrono::seconds(30);
  expect_error(caught([&] { make(options); }), ExitCode::hang,
               {"world", "rank 1 on host b", "within 30 s", "rank 0 on host a, rank 2 on host c"});
  EXPECT_GE(clock_->seconds(), 30);
  EXPECT_LE(clock_->seconds(), 32);
  EXPECT_EQ(trace(), "") << "NCCL was started although ranks are missing: it would wait for them for ever";
}

TEST_F(NcclTest, ARankThatIsLostDuringTheStartIsNamed) {
  api_->starting = FakeNccl::for_ever;
  base_->texts[{0, 1}] = std::string("!") + static_cast<char>(ExitCode::hang) + "still waiting";
  base_->texts[{2, 1}] = std::nullopt;
  expect_error(caught([&] { make(); }), ExitCode::hang, {"did not arrive", "rank 2 on host c"});
  EXPECT_LE(clock_->seconds(), 120 + 130 + 3);
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, AStartThatNeverEndsIsAborted) {
  api_->starting = FakeNccl::for_ever;
  expect_error(caught([&] { make(); }), ExitCode::hang,
               {"starting NCCL on world", "rank 1 on host b", "not done after 120 s", "NCCL_DEBUG=INFO"});
  EXPECT_LE(clock_->seconds(), 123);
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, AnErrorOfTheStartSaysWhatToChange) {
  api_->init_result = Status::invalid_usage;
  expect_error(caught([&] { make(); }), ExitCode::usage,
               {"starting NCCL on world", "rank 1 on host b", "ncclInvalidUsage", "the fake's reason", "same GPU"});
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, TheFailureOfAnotherRankIsToldHere) {
  base_->texts[{2, 1}] = std::string("!") + static_cast<char>(ExitCode::usage) + "no such GPU";
  expect_error(caught([&] { make(); }), ExitCode::usage, {"rank 2 on host c", "no such GPU"});
}

TEST_F(NcclTest, ARankWithoutTheLibraryStopsAllAtOnce) {
  base_->texts[{0, 0}] = std::string("!") + static_cast<char>(ExitCode::usage) + "libnccl.so.2 was not found";
  expect_error(caught([&] { make(); }), ExitCode::usage, {"rank 0 on host a", "libnccl.so.2 was not found"});
  EXPECT_EQ(clock_->seconds(), 0);
  EXPECT_EQ(trace(), "");
}

TEST_F(NcclTest, CallsFollowTheComputingStreamAndReturnAtOnce) {
  const auto comm = make();
  const auto before = clock_->seconds();
  const auto event = comm->all_reduce(there(6));
  EXPECT_EQ(trace(), "join; all_reduce f32 x 6; mark");
  EXPECT_EQ(clock_->seconds(), before) << "it waited";
  EXPECT_FALSE(event.done());
  EXPECT_EQ(comm->log().unfinished().size(), 1U);
  clock_->at(before + 8, [&] { queue_->passed = 1; });
  event.wait();
  EXPECT_TRUE(event.done());
  EXPECT_TRUE(comm->log().unfinished().empty());
  EXPECT_EQ(comm->compute(), &queue_->compute());
}

TEST_F(NcclTest, ACallIsMarkedOnlyWhenItIsOnTheStream) {
  const auto comm = make();
  api_->sending = 4;
  const auto before = clock_->seconds();
  const auto event = comm->all_reduce(there(6));
  EXPECT_GT(clock_->seconds(), before + 3);
  EXPECT_EQ(trace(), "join; all_reduce f32 x 6; mark");
}

TEST_F(NcclTest, AnErrorElsewhereEndsTheWait) {
  const auto comm = make();
  comm->log().set_phase("backward");
  const auto first = comm->all_reduce(there(6)), second = comm->all_reduce(there(7));
  clock_->at(20, [&] { api_->behind = Status::remote_error; });
  expect_error(caught([&] { second.wait(); }), ExitCode::peer_lost,
               {"all_reduce number 1 of world (f32 x 6) at rank 1 on host b", "and 1 calls after it", "ncclRemoteError",
                "the fake's reason", "another rank or its host went away", "NCCL_DEBUG=INFO", "was aborted"});
  EXPECT_LE(clock_->seconds(), 21);
  EXPECT_EQ(api_->aborted, 1);
  EXPECT_EQ(caught([&] { first.wait(); }).code, ExitCode::peer_lost);
  expect_error(caught([&] { comm->all_reduce(there(1)); }), ExitCode::peer_lost, {"all_reduce number 1 of world"});
  expect_error(caught([&] { comm->progress(); }), ExitCode::peer_lost, {"all_reduce number 1 of world"});
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, ProgressAloneSeesAnError) {
  const auto comm = make();
  comm->progress();
  api_->behind = Status::system_error;
  expect_error(caught([&] { comm->progress(); }), ExitCode::failure, {"no call under way", "/dev/shm"});
}

TEST_F(NcclTest, AHangEndsAtTheDeadlineOfTheCallThatHangs) {
  NcclOptions options;
  options.deadlines.call = std::chrono::seconds(40);
  const auto comm = make(options);
  const auto first = comm->all_reduce(there(6));
  const auto second = comm->broadcast(there(7, DType::f64), 2);
  clock_->at(33, [&] { queue_->passed = 1; });
  expect_error(caught([&] { second.wait(); }), ExitCode::hang,
               {"broadcast number 2 of world (f64 x 7) at rank 1 on host b", "not done after", "other calls"});
  EXPECT_GE(clock_->seconds(), 33 + 40) << "the time of the call before counted as well";
  EXPECT_LE(clock_->seconds(), 33 + 42);
  first.wait();
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, ACallThatDoesNotGetOnTheStreamEndsAtTheDeadline) {
  NcclOptions options;
  options.deadlines.call = std::chrono::seconds(40);
  const auto comm = make(options);
  api_->sending = FakeNccl::for_ever;
  expect_error(caught([&] { comm->all_gather(there(2), there(6)); }), ExitCode::hang,
               {"all_gather number 1 of world (f32 x 6) at rank 1 on host b", "not done after 40 s"});
  EXPECT_LE(clock_->seconds(), 46);
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, ARefusedCallIsNamed) {
  const auto comm = make();
  api_->call_result = Status::invalid_argument;
  expect_error(caught([&] { comm->all_reduce(there(6)); }), ExitCode::failure,
               {"all_reduce number 1 of world", "ncclInvalidArgument"});
}

TEST_F(NcclTest, AFailureOfTheGpuIsNamedWithTheCall) {
  const auto comm = make();
  const auto event = comm->all_reduce(there(6));
  queue_->device_error = "cudaEventQuery failed";
  expect_error(caught([&] { event.wait(); }), ExitCode::failure,
               {"all_reduce number 1 of world", "cudaEventQuery failed"});
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, AStopFromElsewhereEndsTheWait) {
  const auto comm = make();
  const auto event = comm->all_reduce(there(6));
  clock_->at(10, [&] { std::thread([&] { comm->stop(ExitCode::peer_lost, "rank 0 has thrown"); }).join(); });
  expect_error(caught([&] { event.wait(); }), ExitCode::peer_lost,
               {"all_reduce number 1 of world", "rank 0 has thrown"});
  EXPECT_LE(clock_->seconds(), 11);
  EXPECT_EQ(api_->aborted, 1);
}

TEST_F(NcclTest, AStopReachesACallThatIsBeingSent) {
  const auto comm = make();
  api_->sending = FakeNccl::for_ever;
  clock_->at(10, [&] { std::thread([&] { comm->stop(ExitCode::hang, "the job is ended"); }).join(); });
  expect_error(caught([&] { comm->all_reduce(there(6)); }), ExitCode::hang, {"the job is ended"});
  EXPECT_LE(clock_->seconds(), 11);
}

TEST_F(NcclTest, AFailureNobodyHearsOfEndsTheJob) {
  const auto comm = make();
  const auto event = comm->all_reduce(there(6));
  api_->behind = Status::remote_error;
  std::thread watcher([&] {  // as the watching thread does while the computing one is stuck in the driver
    for (int k = 0; k < 10; ++k) {
      comm->channel()->watch();
      clock_->pause();
    }
    EXPECT_EQ(api_->aborted, 1);
    EXPECT_TRUE(ended_.empty()) << "the computing thread was not given its time";
    for (int k = 0; k < 5; ++k) {
      comm->channel()->watch();
      clock_->pause();
    }
  });
  watcher.join();
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_.front().substr(0, 3), "12 ");
  EXPECT_NE(ended_.front().find("all_reduce number 1 of world"), std::string::npos) << ended_.front();
}

TEST_F(NcclTest, AFailureThatWasHeardEndsNoJob) {
  const auto comm = make();
  const auto event = comm->all_reduce(there(6));
  api_->behind = Status::remote_error;
  expect_error(caught([&] { event.wait(); }), ExitCode::peer_lost, {});
  for (int k = 0; k < 20; ++k) {
    clock_->pause();
    comm->channel()->watch();
  }
  EXPECT_TRUE(ended_.empty());
}

TEST_F(NcclTest, AnotherThreadMayNotCall) {
  const auto comm = make();
  Caught error;
  std::thread([&] { error = caught([&] { comm->all_reduce(there(6)); }); }).join();
  expect_error(error, ExitCode::failure, {"all_reduce number 1 of world", "another thread"});
  EXPECT_EQ(trace(), "");
}

TEST_F(NcclTest, AGroupIsSentAsOneInTheOrderOfItsCalls) {
  const auto comm = make();
  CallGroup group(*comm);
  const auto sent = comm->send(there(3), 2);
  const auto got = comm->recv(there(4), 0);
  const auto sum = comm->all_reduce(there(5));
  EXPECT_EQ(trace(), "");
  expect_error(caught([&] { got.wait(); }), ExitCode::failure, {"inside its group"});
  const auto end = group.end();
  EXPECT_EQ(trace(), "join; (; send f32 x 3 to 2; recv f32 x 4 from 0; all_reduce f32 x 5; ); mark");
  queue_->passed = 1;
  end.wait();
  sum.wait();
  EXPECT_TRUE(comm->log().unfinished().empty());
}

TEST_F(NcclTest, AGroupThatAnExceptionLeavesSendsNothing) {
  const auto comm = make();
  Event lost;
  EXPECT_THROW(
      {
        CallGroup group(*comm);
        lost = comm->all_reduce(there(5));
        throw std::runtime_error("elsewhere");
      },
      std::runtime_error);
  EXPECT_EQ(trace(), "");
  expect_error(caught([&] { lost.wait(); }), ExitCode::failure, {"left before its end"});
  comm->channel()->drain();
  comm->all_reduce(there(6));
  EXPECT_EQ(trace(), "join; all_reduce f32 x 6; mark");
}

TEST_F(NcclTest, AFailedGroupIsClosedBeforeItIsReported) {
  const auto comm = make();
  api_->grouped_result = Status::internal_error;
  expect_error(caught([&] { comm->all_to_all(there(3), there(3)); }), ExitCode::failure, {"all_to_all number 1"});
  EXPECT_EQ(trace().substr(0, 7), "join; (") << trace();
  EXPECT_NE(trace().find("); abort"), std::string::npos) << trace();
}

TEST_F(NcclTest, MessagesOfBothDirectionsAreSentAsOne) {
  const auto comm = make();
  const auto sent = comm->send(there(3), 2);
  const auto got = comm->recv(there(4), 2);
  EXPECT_EQ(trace(), "") << "the first would wait on the GPU for the other rank's second";
  queue_->passed = 1;
  got.wait();
  EXPECT_EQ(trace(), "join; (; send f32 x 3 to 2; recv f32 x 4 from 2; ); mark");
  sent.wait();
}

TEST_F(NcclTest, AMessageGoesBeforeTheCallThatFollows) {
  const auto comm = make();
  const auto sent = comm->send(there(3), 2);
  const auto sum = comm->all_reduce(there(5));
  EXPECT_EQ(trace(), "join; send f32 x 3 to 2; mark; join; all_reduce f32 x 5; mark");
  trace_->clear();
  const auto again = comm->send(there(3), 2);
  comm->barrier().wait();
  EXPECT_EQ(trace(), "join; send f32 x 3 to 2; mark; base barrier");
}

TEST_F(NcclTest, WhatNcclLacksIsMadeOfMessages) {
  const auto comm = make();
  comm->gather_to(1, there(2), there(6));
  EXPECT_EQ(trace(),
            "join; (; send f32 x 2 to 1; recv f32 x 2 from 0; recv f32 x 2 from 1; recv f32 x 2 from 2; ); mark");
  trace_->clear();
  comm->gather_to(0, there(2), {});
  EXPECT_EQ(trace(), "join; send f32 x 2 to 0; mark");
  trace_->clear();
  comm->start_exchange(there(2), 0, there(3), 2);
  EXPECT_EQ(trace(), "join; (; send f32 x 2 to 0; recv f32 x 3 from 2; ); mark");
  trace_->clear();
  comm->all_gather(there(5, DType::u16), there(15, DType::u16));
  EXPECT_EQ(trace(), "join; all_gather u8 x 10; mark") << "NCCL has no u16";
  expect_error(caught([&] { comm->all_reduce(there(5, DType::u16)); }), ExitCode::failure, {"all_reduce of u16"});
}

TEST_F(NcclTest, NothingIsSentForEmptyTensors) {
  const auto comm = make();
  comm->all_reduce(there(0)).wait();
  comm->send(there(0), 2).wait();
  EXPECT_EQ(trace(), "");
  EXPECT_TRUE(comm->log().unfinished().empty());
}

TEST_F(NcclTest, HostTensorsAndBarriersGoToTheCommunicatorBelow) {
  const auto comm = make();
  const auto values = Tensor::zeros({4}, DType::f32);
  comm->all_reduce(values);
  comm->barrier();
  EXPECT_EQ(trace(), "base all_reduce; base barrier");
  EXPECT_THROW(comm->all_reduce(values, there(4)), Error);
  EXPECT_TRUE(comm->moves(Device::meta()));
  EXPECT_FALSE(comm->moves(Device::cuda(3)));
}

TEST_F(NcclTest, SplitsAfterWhatIsUnderWay) {
  const auto comm = make();
  const auto part = std::make_shared<test::ScriptedBase>(
      Communicator::Identity{.name = "world/data", .rank = 0, .hosts = {"b", "c"}}, trace_);
  base_->part = part;
  const auto event = comm->all_reduce(there(6));
  clock_->at(clock_->seconds() + 9, [&] { queue_->passed = 1; });
  part->texts[{1, 0}] = ".";
  const auto made = comm->split(4, -1, "data");
  EXPECT_TRUE(event.done()) << "NCCL must be quiet while it is split";
  EXPECT_EQ(trace(), "join; all_reduce f32 x 6; mark; split colour 4 key -1");
  EXPECT_EQ(made->name(), "world/data");
  EXPECT_EQ(made->size(), 2);
  trace_->clear();
  made->all_reduce(there(2));
  EXPECT_EQ(trace(), "join; all_reduce f32 x 2; mark");
}

TEST_F(NcclTest, ALoneOrColourlessRankSplitsOffWithoutNccl) {
  const auto comm = make();
  base_->part = std::make_shared<SelfCommunicator>();
  const auto lone = comm->split(4, 0, "data");
  EXPECT_EQ(trace(), "split colour -1 key 0");
  const auto values = there(3);
  lone->all_reduce(values).wait();
  base_->part = nullptr;
  EXPECT_EQ(comm->split(-1, 0, "data"), nullptr);
}

TEST_F(NcclTest, ASplitThatHangsFailsOrMixesUpRanksIsNamed) {
  const auto part = std::make_shared<test::ScriptedBase>(
      Communicator::Identity{.name = "world/data", .rank = 0, .hosts = {"b", "c"}}, trace_);
  part->texts[{1, 0}] = ".";
  base_->part = part;
  {
    const auto comm = make();
    api_->split_rank = 1;
    expect_error(caught([&] { comm->split(0, 0, "data"); }), ExitCode::failure,
                 {"rank 1 of the part, but it is rank 0"});
  }
  base_ = std::make_shared<test::ScriptedBase>(
      Communicator::Identity{.name = "world", .rank = 1, .hosts = {"a", "b", "c"}}, trace_);
  base_->part = part;
  const auto comm = make();
  api_->starting = FakeNccl::for_ever;
  part->texts[{1, 1}] = ".";
  expect_error(caught([&] { comm->split(0, 0, "data"); }), ExitCode::hang, {"world", "data", "not done after 120 s"});
}

TEST_F(NcclTest, RegisteredMemoryIsGivenBackInOrder) {
  const auto comm = make({.memory = NcclOptions::Memory::registered});
  auto buffer = comm->shared_allocator(1000)->allocate(1000);
  EXPECT_EQ(buffer->device(), Device::meta());
  buffer.reset();
  EXPECT_EQ(trace(), "register 1000; unregister; release");
}

TEST_F(NcclTest, AQuietCommunicatorIsDestroyedAndABusyOneAborted) {
  make().reset();
  EXPECT_EQ(api_->destroyed, 1);
  EXPECT_EQ(api_->aborted, 0);
  base_ = std::make_shared<test::ScriptedBase>(
      Communicator::Identity{.name = "world", .rank = 1, .hosts = {"a", "b", "c"}}, trace_);
  auto comm = make();
  const auto event = comm->all_reduce(there(6));
  comm.reset();
  EXPECT_EQ(api_->aborted, 1);
  expect_error(caught([&] { event.wait(); }), ExitCode::failure, {"after its communicator was gone"});
}

/// 256 + 1 + 1 is 256 where every step is rounded to bf16.
TEST(NcclPlan, SumsOfBf16AreSpreadAddedInF32AndCollected) {
  const auto values = Tensor::from(std::vector<BFloat16>(20, BFloat16(1.0f)), {20});
  const Call call{.kind = Collective::all_reduce, .in = values, .out = values};
  const nccl::CallPlace place{.rank = 1, .size = 3, .scratch = &system_allocator(Device::cpu())};
  const auto job = nccl::plan(call, place);
  ASSERT_EQ(job.stages.size(), 2U);
  std::vector<std::size_t> sent, received;
  for (const auto& t : job.stages[0].transfers) {
    (t.operation == nccl::Operation::send ? sent : received).push_back(t.count);
    if (t.operation == nccl::Operation::send) continue;
    for (std::size_t i = 0; i < t.count; ++i) static_cast<BFloat16*>(t.to)[i] = BFloat16(t.peer == 0 ? 256.0f : 1.0f);
  }
  EXPECT_EQ(sent, (std::vector<std::size_t>{8, 8, 4}));
  EXPECT_EQ(received, (std::vector<std::size_t>{8, 8, 8}));
  job.stages[0].then(Stream(Device::cpu()));
  const auto found = values.span<BFloat16>();
  for (std::size_t i = 0; i < 20; ++i)
    EXPECT_EQ(static_cast<float>(found[i]), i >= 8 && i < 16 ? 258.0f : 1.0f) << "element " << i;
  std::vector<std::string> collected;
  for (const auto& t : job.stages[1].transfers) {
    const bool sends = t.operation == nccl::Operation::send;
    const auto* at = static_cast<const BFloat16*>(sends ? t.from : t.to);
    collected.push_back(
        fmt::format("{} {} from {} with {}", sends ? "send" : "recv", t.count, at - values.data<BFloat16>(), t.peer));
  }
  EXPECT_EQ(collected, (std::vector<std::string>{"send 8 from 8 with 0", "recv 8 from 0 with 0", "send 8 from 8 with 2",
                                                 "recv 4 from 16 with 2"}));
  auto by_nccl = place;
  by_nccl.half_sums = nccl::HalfSums::nccl;
  const auto plain = nccl::plan(call, by_nccl);
  ASSERT_EQ(plain.stages.size(), 1U);
  EXPECT_EQ(plain.stages[0].transfers.size(), 1U);
}

TEST(NcclAbsence, IsAnErrorThatSaysWhatIsMissing) {
  const auto reason = nccl::unavailable_reason();
  if (reason.empty()) GTEST_SKIP() << "skipped: NCCL is there";
  expect_error(caught([] { nccl::open_library(Device::cuda(0)); }), ExitCode::usage, {"NCCL was asked for"});
}

}  // namespace
}  // namespace trireme
