// The communication thread without MPI: order, errors, closing, abandoning. Built for ThreadSanitizer too.
#include "comm/queue.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.hpp"

namespace trireme {
namespace {

TEST(OperationQueue, StartsInTheOrderGivenWhoeverGives) {
  OperationQueue queue;
  std::vector<int> order;  // touched by the queue's thread alone, read after close()
  std::vector<Event> events;
  for (int i = 0; i < 500; ++i) {
    events.push_back(queue.submit([&order, i]() -> OperationQueue::Poll { return order.push_back(i), nullptr; }));
  }
  queue.close();
  for (const auto& event : events) EXPECT_TRUE(event.done());
  ASSERT_EQ(order.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(OperationQueue, ALaterOperationRunsWhileAnEarlierOneWaits) {
  // As a receive that is answered only once a later send has left.
  OperationQueue queue;
  bool sent = false;  // the queue's thread alone
  auto received = queue.submit([&] { return [&] { return sent; }; });
  auto sending = queue.submit([&]() -> OperationQueue::Poll { return sent = true, nullptr; });
  received.wait();
  sending.wait();
  queue.close();
}

TEST(OperationQueue, EventsCarryErrorsOfStartAndOfPoll) {
  OperationQueue queue;
  auto at_start = queue.submit([]() -> OperationQueue::Poll { throw std::runtime_error("start"); });
  auto at_poll = queue.submit([] { return []() -> bool { throw Error("poll", ExitCode::peer_lost); }; });
  auto after = queue.submit([]() -> OperationQueue::Poll { return nullptr; });
  EXPECT_THROW(at_start.wait(), std::runtime_error);
  EXPECT_THROW(at_start.wait(), std::runtime_error) << "every wait throws";
  try {
    at_poll.wait();
    FAIL() << "the error was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::peer_lost);
  }
  after.wait();
  queue.close();
}

/// Who computes meanwhile must keep its core; who waits must not wait for naps.
TEST(OperationQueue, PollsSeldomUntilSomebodyWaits) {
  using Clock = std::chrono::steady_clock;
  OperationQueue queue;
  std::atomic<int> polls{0};
  const auto slow = [&] { return [&polls, n = 0]() mutable { return ++polls, ++n == 200; }; };
  const auto start = Clock::now();
  const auto unwatched = queue.submit(slow);
  while (!unwatched.done()) std::this_thread::yield();
  const auto alone = Clock::now() - start;
  EXPECT_GE(alone, std::chrono::milliseconds(40)) << "200 polls came too close to each other";
  const auto again = Clock::now();
  queue.submit(slow).wait();
  EXPECT_LT(Clock::now() - again, alone);
  EXPECT_EQ(polls, 400);
  queue.close();
}

TEST(OperationQueue, PollsUntilFinishedAndSleepsBetween) {
  OperationQueue queue;
  std::atomic<int> polls{0};
  auto event = queue.submit([&] { return [&] { return ++polls == 200; }; });
  event.wait();
  EXPECT_EQ(polls.load(), 200);
  EXPECT_EQ(queue.pending(), 0u);
  queue.close();
}

TEST(OperationQueue, HooksRunFirstAndLastOnTheSameThread) {
  std::thread::id first, middle, last;
  {
    OperationQueue queue(
        {.first = [&] { first = std::this_thread::get_id(); }, .last = [&] { last = std::this_thread::get_id(); }});
    queue.submit([&]() -> OperationQueue::Poll { return middle = std::this_thread::get_id(), nullptr; }).wait();
    queue.close();
    queue.close();
  }
  EXPECT_EQ(first, middle);
  EXPECT_EQ(first, last);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST(OperationQueue, ErrorsOfHooksReachTheCaller) {
  EXPECT_THROW(OperationQueue({.first = [] { throw std::runtime_error("no"); }}), std::runtime_error);
  OperationQueue queue({.last = [] { throw std::runtime_error("no"); }});
  EXPECT_THROW(queue.close(), std::runtime_error);
}

TEST(OperationQueue, DestroyedWithoutCloseItFailsWhatWaitsAndSkipsTheLastHook) {
  bool closed = false;
  Event never;
  {
    OperationQueue queue({.last = [&] { closed = true; }});
    never = queue.submit([] { return [] { return false; }; });
  }
  EXPECT_THROW(never.wait(), Error);
  EXPECT_FALSE(closed);
}

TEST(OperationQueue, RefusesOperationsAfterClose) {
  OperationQueue queue;
  queue.close();
  EXPECT_THROW(queue.submit([]() -> OperationQueue::Poll { return nullptr; }), Error);
}

TEST(OperationQueue, AnInterruptRunsWhileAnOperationNeverEnds) {
  OperationQueue queue;
  auto stuck = queue.submit([] { return [] { return false; }; });
  Completion reached;
  queue.interrupt([&] { reached.finish(); });
  reached.wait();
  EXPECT_FALSE(stuck.done());
}

TEST(OperationQueue, ManyThreadsSubmitAtOnce) {
  OperationQueue queue;
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        int left = i % 3;
        queue
            .submit(
                [&, left]() mutable { return [&done, left]() mutable { return left-- > 0 ? false : (++done, true); }; })
            .wait();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  queue.close();
  EXPECT_EQ(done.load(), 400);
}

}  // namespace
}  // namespace trireme
