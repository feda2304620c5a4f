// When a job is started again: which codes end it, how pauses grow, and what stops a job that gets nowhere.
#include "launcher/job/restart_policy.hpp"

#include <gtest/gtest.h>

namespace trireme {
namespace {

using Next = Decision::Next;

TEST(RestartPolicy, codes_that_would_come_again_end_the_job) {
  for (const int code : {1, 2, 3, 13, 15, 93}) {
    RestartHistory history;
    const Decision next = after_attempt({}, {.code = code, .time = 0, .newest_step = 50}, history);
    EXPECT_EQ(next.next, Next::failed) << code;
    EXPECT_EQ(next.code, code);
    EXPECT_NE(next.reason, "");
  }
  for (const int code : {10, 11, 12, 14, 137, 139, 205}) {
    RestartHistory history;
    EXPECT_EQ(after_attempt({}, {.code = code, .time = 0, .newest_step = 50}, history).next, Next::again) << code;
  }
  RestartHistory history;
  EXPECT_EQ(after_attempt({}, {.code = 0}, history).next, Next::done);
}

TEST(RestartPolicy, pauses_double_without_progress_and_shrink_with_it) {
  const RestartRules rules{.restarts = 100, .first_delay = 10, .longest_delay = 60, .no_progress = 100};
  RestartHistory history;
  std::vector<double> delays;
  for (int start = 0; start < 5; ++start) delays.push_back(after_attempt(rules, {.code = 137}, history).delay);
  EXPECT_EQ(delays, (std::vector<double>{10, 20, 40, 60, 60}));
  EXPECT_EQ(after_attempt(rules, {.code = 137, .newest_step = 10}, history).delay, 10);
}

TEST(RestartPolicy, starts_that_save_nothing_new_end_it_with_93) {
  const RestartRules rules{.restarts = 100, .no_progress = 3};
  RestartHistory history;
  EXPECT_EQ(after_attempt(rules, {.code = 137, .newest_step = 40}, history).next, Next::again);
  for (int start = 0; start < 2; ++start)
    EXPECT_EQ(after_attempt(rules, {.code = 137, .newest_step = 40}, history).next, Next::again);
  const Decision last = after_attempt(rules, {.code = 137, .newest_step = 40}, history);
  EXPECT_EQ(last.next, Next::failed);
  EXPECT_EQ(last.code, 93);
  // An older step is no progress either: a newer one was lost.
  RestartHistory back{.newest_step = 40};
  after_attempt(rules, {.code = 137, .newest_step = 30}, back);
  EXPECT_EQ(back.stuck, 1);
  EXPECT_EQ(back.newest_step, 40);
}

TEST(RestartPolicy, failures_are_counted_in_a_window) {
  const RestartRules rules{.restarts = 2, .window_seconds = 100, .no_progress = 100};
  RestartHistory history;
  std::int64_t step = 0;
  const auto fail_at = [&](double time) {
    return after_attempt(rules, {.code = 12, .time = time, .newest_step = ++step}, history);
  };
  EXPECT_EQ(fail_at(0).next, Next::again);
  EXPECT_EQ(fail_at(50).next, Next::again);
  EXPECT_EQ(fail_at(101).next, Next::again);  // the first is forgotten
  const Decision last = fail_at(120);
  EXPECT_EQ(last.next, Next::failed);
  EXPECT_EQ(last.code, 12);
}

TEST(RestartPolicy, no_restarts_means_none) {
  RestartHistory history;
  EXPECT_EQ(after_attempt({.restarts = 0}, {.code = 137, .newest_step = 5}, history).next, Next::failed);
}

TEST(RestartPolicy, a_job_that_saved_goes_on_at_once_and_is_no_failure) {
  RestartHistory history;
  for (int start = 1; start <= 50; ++start) {
    const Decision next = after_attempt({.restarts = 0}, {.code = 10, .newest_step = 100 * start}, history);
    ASSERT_EQ(next.next, Next::again);
    ASSERT_EQ(next.delay, 0);
  }
  EXPECT_TRUE(history.failures.empty());
  // One that says so without a new checkpoint would go round for ever.
  Decision next;
  for (int start = 0; start < 3; ++start) next = after_attempt({}, {.code = 10, .newest_step = 5000}, history);
  EXPECT_EQ(next.code, 93);
}

}  // namespace
}  // namespace trireme
