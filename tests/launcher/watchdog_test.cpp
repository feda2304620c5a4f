// Who is to blame, from what is heard: without processes and without a clock.
#include "launcher/job/watchdog.hpp"

#include <gtest/gtest.h>

#include "launcher/job/frames.hpp"
#include "launcher/job/hang_report.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

constexpr WatchLimits limits{.hang = 10, .start = 20, .checkpoint = 40, .validation = 30, .lost = 8};

RankCall sum(std::uint64_t sequence) {
  return {.communicator = "world", .operation = "all_reduce", .dtype = "f32", .sequence = sequence, .count = 4096};
}

/// Ranks 0 and 1 on host a, the others on host b.
RankSample at(int rank, const std::string& phase, double still = 0) {
  return {.host = rank < 2 ? "a" : "b",
          .state = 'S',
          .attached = true,
          .phase = phase,
          .step = 17,
          .still = still,
          .lived = 100};
}

RankSample waiting(int rank, std::uint64_t sequence, double still) {
  RankSample out = at(rank, "communication", still);
  out.waiting = true;
  out.call = sum(sequence);
  return out;
}

class Watching : public testing::Test {
 protected:
  Watching() { listen(); }
  /// To nobody, for two minutes.
  void listen() {
    for (int k = 0; k < 120; ++k) EXPECT_FALSE(dog_.judge(now_ += 1));
  }
  /// A second of a job: everybody is heard, then the question.
  std::optional<Verdict> second(const std::vector<RankSample>& samples) {
    now_ += 1;
    for (std::size_t rank = 0; rank < samples.size(); ++rank) {
      if (!samples[rank].host.empty()) dog_.heard(static_cast<int>(rank), samples[rank], now_);
    }
    return dog_.judge(now_);
  }
  Watchdog dog_{{.ranks = 4, .own_host = "a", .limits = limits}};
  double now_ = 1000;
};

TEST_F(Watching, a_stopped_rank_is_blamed_and_not_those_that_wait) {
  RankSample stopped = at(1, "data", 9.5);
  stopped.state = 'T';
  EXPECT_FALSE(second({waiting(0, 7, 9.4), stopped, waiting(2, 7, 9.4), waiting(3, 7, 9.4)}));
  stopped.still = 10.5;
  const auto verdict = second({waiting(0, 7, 10.4), stopped, waiting(2, 7, 10.4), waiting(3, 7, 10.4)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, Verdict::Kind::stopped);
  EXPECT_EQ(verdict->code, 11);
  EXPECT_EQ(
      verdict->text,
      "rank 1 on a is stopped by a signal such as SIGSTOP, for 10 s in phase data of step 17; ranks 0, 2-3 wait in "
      "all_reduce number 7 of world (f32 x 4096)");
}

TEST_F(Watching, a_rank_that_is_stopped_in_a_long_phase_is_blamed_as_early) {
  RankSample stopped = at(1, "checkpoint", 11);
  stopped.state = 'T';
  const auto verdict = second({at(0, "checkpoint", 11), stopped, at(2, "checkpoint", 11), at(3, "checkpoint", 11)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
}

TEST_F(Watching, waiting_for_a_rank_that_takes_its_time_is_no_fault) {
  EXPECT_FALSE(second({at(0, "checkpoint", 35), waiting(1, 7, 35), waiting(2, 7, 35), waiting(3, 7, 35)}));
  const auto verdict = second({at(0, "checkpoint", 41), waiting(1, 7, 41), waiting(2, 7, 41), waiting(3, 7, 41)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, Verdict::Kind::stuck);
  EXPECT_EQ(verdict->rank, 0);
}

TEST_F(Watching, every_phase_has_its_time) {
  EXPECT_EQ(limits.of("start"), 20);
  EXPECT_EQ(limits.of("validation"), 30);
  EXPECT_EQ(limits.of("forward"), 10);
  EXPECT_FALSE(second({at(0, "start", 19), at(1, "start", 19), at(2, "start", 19), at(3, "start", 19)}));
  EXPECT_TRUE(second({at(0, "start", 20), at(1, "start", 20.5), at(2, "start", 20), at(3, "start", 20)}));
  dog_ = Watchdog({.ranks = 1, .own_host = "a", .limits = {.hang = 0, .lost = 0}});
  listen();
  EXPECT_FALSE(second({at(0, "forward", 1e6)}));
}

TEST_F(Watching, a_rank_that_computes_while_nobody_waits_is_left_alone) {
  std::vector<RankSample> all{at(0, "start", 1000), at(1, "start", 1000), at(2, "start", 1000), at(3, "start", 1000)};
  for (RankSample& one : all) one.still_processor = 900;
  EXPECT_FALSE(second(all));
  all[3].still_processor = 0.1;
  const auto verdict = second(all);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 3);
  all[3] = waiting(3, 7, 5);
  EXPECT_EQ(second(all)->rank, 0) << "one waits for the others";
}

TEST_F(Watching, a_rank_that_never_comes_to_its_start_is_blamed) {
  RankSample absent{.host = "b", .state = 'D'};
  const auto verdict = second({at(0, "start", 21), at(1, "start", 21), at(2, "start", 21), absent});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 3);
}

TEST_F(Watching, a_host_is_lost_and_not_only_quiet_for_a_moment) {
  std::vector<RankSample> all{at(0, "forward"), at(1, "forward"), at(2, "forward"), at(3, "forward")};
  EXPECT_FALSE(second(all));
  all[2].host = "";  // not heard
  for (int k = 0; k < 9; ++k) EXPECT_FALSE(second(all)) << "rank 3 of the same host is heard";
  dog_ = Watchdog({.ranks = 4, .own_host = "a", .limits = limits});
  all[2].host = "b";
  EXPECT_FALSE(second(all));
  all[2].host = all[3].host = "";
  for (int k = 0; k < 8; ++k) EXPECT_FALSE(second(all)) << k;
  const auto verdict = second(all);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->code, 12);
  EXPECT_EQ(verdict->host, "b");
  EXPECT_TRUE(has(verdict->text, "host b is lost: no word of ranks 2-3 for 8 s")) << verdict->text;
}

TEST_F(Watching, what_was_missed_while_nobody_listened_is_forgiven) {
  std::vector<RankSample> all{at(0, "forward"), at(1, "forward"), at(2, "forward"), at(3, "forward")};
  EXPECT_FALSE(second(all));
  now_ += 500;  // the launcher was stopped, and with it whoever could not write to it
  EXPECT_FALSE(dog_.judge(now_));
  for (int k = 0; k < 10; ++k) {
    for (RankSample& one : all) one.still = 500 + k;
    EXPECT_FALSE(second(all)) << k;
  }
  EXPECT_TRUE(second(all)) << "now it has been watched for long enough";
}

TEST_F(Watching, ranks_that_wait_in_different_calls_are_told_apart) {
  const auto verdict = second({waiting(0, 7, 11), waiting(1, 7, 11), waiting(2, 8, 11), waiting(3, 7, 11)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, Verdict::Kind::mismatch);
  EXPECT_EQ(verdict->code, 11);
  EXPECT_TRUE(has(verdict->text, "ranks 0-1, 3 in all_reduce number 7 of world")) << verdict->text;
  EXPECT_TRUE(has(verdict->text, "rank 2 on b in all_reduce number 8 of world")) << verdict->text;
}

/// One that differs in nothing else: calls are numbered in each communicator, and two of these may stand at one number.
TEST_F(Watching, calls_are_the_same_where_all_of_them_is_the_same) {
  const RankCall usual = sum(7);
  std::vector<RankCall> others(5, usual);
  others[0].communicator = "world/part";
  others[1].operation = "broadcast";
  others[2].dtype = "f64";
  others[3].sequence = 8;
  others[4].count = 8;
  for (const RankCall& other : others) {
    SCOPED_TRACE(other.text());
    std::vector<RankSample> all{waiting(0, 7, 3), waiting(1, 7, 3), waiting(2, 7, 3), waiting(3, 7, 3)};
    for (RankSample& one : all) one.comparing = true;
    all[2].call = other;
    const auto verdict = second(all);
    ASSERT_TRUE(verdict);
    EXPECT_EQ(verdict->kind, Verdict::Kind::mismatch);
    EXPECT_EQ(verdict->code, 3);
    EXPECT_TRUE(has(verdict->text, "ranks 0-1, 3 in " + usual.text())) << verdict->text;
    EXPECT_TRUE(has(verdict->text, "rank 2 on b in " + other.text())) << verdict->text;
  }
}

TEST_F(Watching, comparisons_that_cannot_end_are_seen_early_and_slow_ones_are_not_blamed) {
  std::vector<RankSample> all{waiting(0, 7, 3), waiting(1, 7, 3), waiting(2, 8, 3), waiting(3, 7, 3)};
  EXPECT_FALSE(second(all)) << "unchecked calls may take long";
  for (RankSample& one : all) one.comparing = true;
  auto verdict = second(all);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->code, 3);
  all[2] = waiting(2, 7, 3);
  all[2].comparing = true;
  EXPECT_FALSE(second(all)) << "all in the same call: only slow";
}

TEST_F(Watching, a_rank_for_which_the_others_wait_is_a_straggler_and_one_slow_moment_is_none) {
  const auto train = [&](double late_share, int seconds) {
    Watchdog dog({.ranks = 4, .own_host = "a", .limits = limits});
    std::vector<double> waited(4, 0.0);
    for (int k = 0; k < seconds; ++k) {
      for (int rank = 0; rank < 4; ++rank) {
        waited[static_cast<std::size_t>(rank)] += rank == 2 ? 0.02 : late_share;
        RankSample sample = at(rank, "forward");
        sample.lived = k;
        sample.waited = waited[static_cast<std::size_t>(rank)];
        dog.heard(rank, sample, k);
      }
      EXPECT_FALSE(dog.judge(k));
    }
    return dog.stragglers();
  };
  const auto found = train(0.5, 30);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(
      has(found[0], "straggler: rank 2 on b: the others waited for it for 50 % of the time, it for them for 2 %"))
      << found[0];
  EXPECT_TRUE(train(0.1, 30).empty());
  EXPECT_TRUE(train(0.5, 5).empty());
}

TEST(RankFrames, carry_samples_and_reports_whole) {
  RankSample sample = waiting(2, 812, 3.5);
  sample.state = 'T';
  sample.still_processor = 0.25;
  const auto back = sample_from_text(to_text(sample));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_text(*back), to_text(sample));
  EXPECT_TRUE(back->stopped() && back->in_call());
  for (const char* text : {"", "{}", "[1]", "{\"host\":3}"}) EXPECT_FALSE(sample_from_text(text)) << text;
  // A report is longer than a frame; srun's frames are shorter still.
  const std::string report(10000, 'x');
  std::string got;
  for (const std::string& line : encode({FrameKind::report, 3, report}, 900)) {
    const auto frame = decode(line.substr(0, line.size() - 1));
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->rank, 3);
    got += frame->text;
    EXPECT_EQ(frame->kind == FrameKind::report, got.size() == report.size()) << "only the last one ends it";
  }
  EXPECT_EQ(got, report);
  const auto seen = encode({FrameKind::watch, 3, to_text(sample)});
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_LT(seen[0].size(), 900u);
}

TEST(HangRecord, tells_where_the_calls_part) {
  HangReport report({.kind = Verdict::Kind::mismatch, .text = "x"});
  const auto rank = [](const std::string& second, std::int64_t count) {
    Json calls = Json::array();
    calls.push_back({"world", 16, "all_reduce", "f32", 4096, 0, "backward", 1.0, 1.0, 1.0});
    calls.push_back({"world", 17, second, "f32", count, 0, "backward", 1.0, 1.0, nullptr});
    return Json{{"calls_kept", calls}}.dump();
  };
  report.part(0, rank("all_reduce", 4096).substr(0, 20));
  report.whole(0, rank("all_reduce", 4096).substr(20));
  report.whole(1, rank("all_reduce", 4096));
  EXPECT_EQ(report.first_difference(), "");
  report.whole(2, rank("broadcast", 8));
  report.whole(3, "half a rep");
  EXPECT_EQ(report.reports(), 4);
  EXPECT_EQ(
      report.first_difference(),
      "ranks 0-1 made all_reduce number 17 of world (f32 x 4096), rank 2 made broadcast number 17 of world (f32 x 8)");
}

}  // namespace
}  // namespace trireme
