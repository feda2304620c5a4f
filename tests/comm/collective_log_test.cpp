// Every call is numbered, timed and kept for reports.
#include "comm/collective_log.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "comm/self_communicator.hpp"

namespace trireme {
namespace {

TEST(CollectiveLog, KeepsTheLastTwoThousand) {
  SelfCommunicator comm;
  for (int i = 0; i < 2500; ++i) comm.barrier().wait();
  comm.all_reduce(Tensor::zeros({3}, DType::f64)).wait();
  const auto entries = comm.log().recent();
  ASSERT_EQ(entries.size(), CollectiveLog::capacity);
  EXPECT_EQ(entries.front().sequence, 502u);
  EXPECT_EQ(entries.back().sequence, 2501u);
  EXPECT_EQ(entries.back().text(), "all_reduce number 2501 of self (f64 x 3)");
  EXPECT_EQ(comm.log().calls(), 2501u);
  EXPECT_TRUE(comm.log().unfinished().empty());
}

TEST(CollectiveLog, ShowsWhatWaits) {
  SelfCommunicator comm;
  comm.log().set_phase("backward");
  auto wanted = comm.recv(Tensor::zeros({5}, DType::i32), 0, 7);
  const auto waiting = comm.log().unfinished();
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].text(), "recv number 1 of self (i32 x 5) in backward");
  EXPECT_NE(waiting[0].started, CollectiveLog::Time{});
  EXPECT_FALSE(wanted.done());
  comm.send(Tensor::zeros({5}, DType::i32), 0, 7).wait();
  wanted.wait();
  EXPECT_TRUE(comm.log().unfinished().empty());
}

TEST(CollectiveLog, BusyTimeCountsOverlappingCallsOnce) {
  const auto log = std::make_shared<CollectiveLog>();
  const auto start = std::chrono::steady_clock::now();
  const auto one = log->record({}), two = log->record({});
  one.started();
  two.started();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_GT(log->busy_seconds(), 0.0) << "counts what runs";
  one.finished();
  two.finished();
  const double busy = log->busy_seconds();
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_GE(busy, 0.005);
  EXPECT_LE(busy, passed);
  EXPECT_EQ(log->busy_seconds(), busy) << "stands still when nothing runs";
}

}  // namespace
}  // namespace trireme
