// The queue of a list of hosts, played through with thousands of invented jobs: nothing is oversubscribed, everybody
// gets a turn, and who passes the first in the line does not delay it.
#include "launcher/job/job_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

using Names = std::vector<std::string>;

struct Wanted {
  std::int64_t nodes, ranks;
  double seconds = 0;
};

SlotRequest request(std::int64_t job, std::vector<HostSlots> hosts, const Wanted& wanted) {
  return {.job = job,
          .hosts = std::move(hosts),
          .nodes = wanted.nodes,
          .ranks_per_node = wanted.ranks,
          .seconds = wanted.seconds};
}

std::vector<std::int64_t> started(const QueuePlan& plan) {
  std::vector<std::int64_t> jobs;
  for (const PlacedJob& one : plan.starts) jobs.push_back(one.request.job);
  return jobs;
}

const std::vector<HostSlots> two_hosts = {{"a", 4}, {"b", 4}};

TEST(JobQueue, places_whole_jobs_on_the_first_hosts_with_room) {
  const QueuePlan plan = plan_queue(
      {.placed = {},
       .waiting = {request(1, two_hosts, {1, 3}), request(2, two_hosts, {1, 2}), request(3, two_hosts, {2, 2})}},
      100);
  ASSERT_EQ(started(plan), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(plan.starts[0].on, Names{"a"});
  EXPECT_EQ(plan.starts[1].on, Names{"b"});
  EXPECT_EQ(plan.starts[1].since, 100);
  // One free slot on a is no place for two ranks, and half a job is none.
  ASSERT_EQ(plan.waiting.size(), 1u);
  EXPECT_EQ(plan.waiting[0].job, 3);
  ASSERT_EQ(plan.waiting[0].holders.size(), 1u);
  EXPECT_EQ(plan.waiting[0].holders[0].job, 1);
  EXPECT_EQ(plan.waiting[0].holders[0].hosts, Names{"a"});
  EXPECT_EQ(plan.waiting[0].holders[0].until, SlotHolder::unknown);
}

TEST(JobQueue, hosts_hold_no_more_than_any_of_their_jobs_allows) {
  const PlacedJob careful{request(1, {{"a", 3}}, {1, 2}), {"a"}, 0};
  EXPECT_TRUE(started(plan_queue({.placed = {careful}, .waiting = {request(2, {{"a", 8}}, {1, 2})}}, 0)).empty());
  EXPECT_FALSE(started(plan_queue({.placed = {careful}, .waiting = {request(2, {{"a", 8}}, {1, 1})}}, 0)).empty());
}

TEST(JobQueue, a_later_job_passes_only_where_the_first_starts_no_later) {
  const PlacedJob half{request(1, two_hosts, {1, 4, 100}), {"a"}, 0};
  const SlotRequest head = request(2, two_hosts, {2, 4});
  const auto passes = [&](const SlotRequest& later) {
    return !started(plan_queue({.placed = {half}, .waiting = {head, later}}, 40)).empty();
  };
  EXPECT_TRUE(passes(request(3, two_hosts, {1, 4, 60})));   // over when a is
  EXPECT_FALSE(passes(request(3, two_hosts, {1, 4, 61})));  // too long
  EXPECT_FALSE(passes(request(3, two_hosts, {1, 1})));      // nobody knows how long
  EXPECT_TRUE(passes(request(3, {{"c", 1}}, {1, 1})));      // where the head wants nothing
  const QueuePlan plan = plan_queue({.placed = {half}, .waiting = {head, request(3, two_hosts, {1, 4})}}, 40);
  EXPECT_EQ(plan.waiting[0].starts, 100);
  EXPECT_EQ(plan.waiting[0].behind, 0);
  EXPECT_EQ(plan.waiting[1].behind, 2);
}

TEST(JobQueue, nobody_passes_a_job_that_waits_for_one_without_limit) {
  const PlacedJob endless{request(1, two_hosts, {1, 4}), {"a"}, 0};
  const SlotRequest head = request(2, two_hosts, {2, 4});
  EXPECT_TRUE(
      started(plan_queue({.placed = {endless}, .waiting = {head, request(3, two_hosts, {1, 1, 1})}}, 40)).empty());
}

TEST(JobQueue, one_that_never_fits_holds_up_nobody) {
  EXPECT_EQ(
      started(plan_queue({.placed = {}, .waiting = {request(1, two_hosts, {1, 5}), request(2, two_hosts, {1, 1})}}, 0)),
      std::vector<std::int64_t>{2});
}

/// Jobs come, start where the plan says, and end: within their limits, if they have one.
class Play {
 public:
  explicit Play(std::uint32_t seed) : random_(seed) {
    for (std::size_t n = 1 + below(5); n > 0; --n)
      hosts_.push_back({"h" + std::to_string(n), static_cast<std::int64_t>(1 + below(8))});
    double time = 0;
    for (std::int64_t job = 1; job <= 40; ++job) {
      time += static_cast<double>(below(20));
      Job one;
      one.arrives = time;
      one.runs = 1 + static_cast<double>(below(100));
      one.request = invent(job);
      if (below(4) != 0) one.request.seconds = one.runs + static_cast<double>(below(3) * below(50));
      jobs_[job] = one;
    }
  }

  void play() {
    double time = 0;
    while (left_ < jobs_.size()) {
      ASSERT_LT(steps_++, 10000) << "somebody waits for ever";
      time = next_event(time);
      take_events(time);
      const QueueView view{placed_, waiting_};
      const QueuePlan plan = plan_queue(view, time);
      expect_same_again(view, plan, time);
      for (const PlacedJob& one : plan.starts) start(one, time);
      expect_room();
      promise(plan, time);
    }
  }

 private:
  struct Job {
    SlotRequest request;
    double arrives = 0, runs = 0;
    std::optional<double> promised, ends;
    bool arrived = false;
  };

  std::size_t below(std::size_t end) { return random_() % end; }

  /// One that fits where nothing else runs.
  SlotRequest invent(std::int64_t job) {
    for (;;) {
      std::vector<HostSlots> hosts;
      for (const HostSlots& host : hosts_) {
        if (below(3) != 0)
          hosts.push_back({host.name, below(8) == 0 ? std::max<std::int64_t>(1, host.slots - 1) : host.slots});
      }
      const SlotRequest made =
          request(job, hosts, {static_cast<std::int64_t>(1 + below(3)), static_cast<std::int64_t>(1 + below(4))});
      if (!place_alone(made).empty()) return made;
    }
  }
  double next_event(double time) const {
    double next = SlotHolder::unknown;
    for (const auto& [id, job] : jobs_) {
      if (!job.arrived) next = std::min(next, job.arrives);
      if (job.ends && *job.ends > time) next = std::min(next, *job.ends);
    }
    return next == SlotHolder::unknown ? time : std::max(next, time);
  }
  void take_events(double time) {
    const std::size_t before = placed_.size();
    std::erase_if(placed_, [&](const PlacedJob& one) { return *jobs_[one.request.job].ends <= time; });
    left_ += before - placed_.size();
    for (auto& [id, job] : jobs_) {
      if (job.arrived || job.arrives > time) continue;
      job.arrived = true;
      waiting_.push_back(job.request);
    }
  }
  void start(const PlacedJob& one, double time) {
    Job& job = jobs_[one.request.job];
    ASSERT_FALSE(job.ends) << "job " << one.request.job << " started twice";
    ASSERT_EQ(static_cast<std::int64_t>(one.on.size()), one.request.nodes) << "whole or not at all";
    if (job.promised) {
      EXPECT_LE(time, *job.promised) << "job " << one.request.job << " was delayed";
    }
    job.ends = time + job.runs;
    placed_.push_back(one);
    std::erase_if(waiting_, [&](const SlotRequest& other) { return other.job == one.request.job; });
  }
  /// By hand: the ranks of each host against what every job there allows.
  void expect_room() const {
    std::map<std::string, std::int64_t> used, most;
    for (const PlacedJob& one : placed_) {
      for (const std::string& name : one.on) {
        used[name] += one.request.ranks_per_node;
        for (const HostSlots& host : one.request.hosts) {
          if (host.name == name) most[name] = std::min(most.try_emplace(name, host.slots).first->second, host.slots);
        }
      }
    }
    for (const auto& [name, count] : used) EXPECT_LE(count, most[name]) << name;
  }
  /// When the first in the line would start if nobody else did, worked out from the limits alone.
  void promise(const QueuePlan& plan, double time) {
    if (plan.waiting.empty()) return;
    const SlotRequest& head = jobs_[plan.waiting[0].job].request;
    Job& job = jobs_[head.job];
    if (job.promised) return;
    std::vector<double> ends;
    for (const PlacedJob& one : placed_) {
      if (one.request.seconds > 0) ends.push_back(one.since + one.request.seconds);
    }
    std::ranges::sort(ends);
    for (const double end : ends) {
      std::vector<PlacedJob> still;
      for (const PlacedJob& one : placed_) {
        if (one.request.seconds <= 0 || one.since + one.request.seconds > end) still.push_back(one);
      }
      if (plan_queue({still, {head}}, end).starts.empty()) continue;
      job.promised = std::max(time, end);
      return;
    }
  }
  static void expect_same_again(const QueueView& view, const QueuePlan& plan, double time) {
    const QueuePlan again = plan_queue(view, time);
    ASSERT_EQ(started(again), started(plan));
    for (std::size_t k = 0; k < plan.starts.size(); ++k) ASSERT_EQ(again.starts[k].on, plan.starts[k].on);
  }

  std::mt19937 random_;
  std::vector<HostSlots> hosts_;
  std::map<std::int64_t, Job> jobs_;
  std::vector<PlacedJob> placed_;
  std::vector<SlotRequest> waiting_;
  std::size_t left_ = 0;
  int steps_ = 0;
};

TEST(JobQueue, keeps_its_promises_whatever_comes) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  for (std::uint32_t round = 0; round < 300 && !testing::Test::HasFailure(); ++round) Play(seed + round * 7919).play();
}

}  // namespace
}  // namespace trireme
