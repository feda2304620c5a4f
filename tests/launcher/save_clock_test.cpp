// When checkpoints are due, and the text forms of intervals and durations.
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "launcher/run/save_clock.hpp"

namespace trireme {
namespace {

using Kind = SaveInterval::Kind;

TEST(Durations, AreReadWithTheirUnits) {
  EXPECT_EQ(parse_duration("90", "max-time"), 90);
  EXPECT_EQ(parse_duration("90s", "max-time"), 90);
  EXPECT_EQ(parse_duration("1.5m", "max-time"), 90);
  EXPECT_EQ(parse_duration("1h30m", "max-time"), 5400);
  EXPECT_EQ(parse_duration("2d1h", "max-time"), 2 * 86400 + 3600);
  for (const char* wrong : {"", "0", "-5m", "m", "5x", "30m1h", "1h30", "1e300d", "nan", "5 m", "1h1h"}) {
    try {
      parse_duration(wrong, "max-time");
      ADD_FAILURE() << "accepted '" << wrong << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find("--max-time"), std::string::npos);
    }
  }
}

TEST(SaveInterval, IsStepsTimeAutoOrOff) {
  EXPECT_EQ(SaveInterval::parse("500").kind, Kind::steps);
  EXPECT_EQ(SaveInterval::parse("500").value, 500);
  EXPECT_EQ(SaveInterval::parse("10m").kind, Kind::seconds);
  EXPECT_EQ(SaveInterval::parse("10m").value, 600);
  EXPECT_EQ(SaveInterval::parse("auto").kind, Kind::automatic);
  EXPECT_EQ(SaveInterval::parse("off").kind, Kind::off);
  EXPECT_EQ(SaveInterval::parse("0").kind, Kind::off);
  for (const char* wrong : {"", "of", "-1", "5k", "99999999999999999999"})
    EXPECT_THROW(SaveInterval::parse(wrong), Error) << wrong;
}

TEST(SaveClock, ByStepsNeedsNoClock) {
  const SaveClock clock({.interval = SaveInterval::parse("5")}, 100);
  EXPECT_FALSE(clock.due(4, 1e9));
  EXPECT_TRUE(clock.due(5, 100));
  EXPECT_TRUE(clock.due(10, 100));
}

TEST(SaveClock, ByTimeCountsFromTheLastSave) {
  SaveClock clock({.interval = SaveInterval::parse("60s")}, 100);
  EXPECT_FALSE(clock.due(1, 159));
  EXPECT_TRUE(clock.due(1, 160));
  clock.began(160);
  EXPECT_FALSE(clock.due(2, 219));
  EXPECT_TRUE(clock.due(2, 221));
}

TEST(SaveClock, AutoFollowsYoungsFormulaFromTheMeasuredCost) {
  EXPECT_DOUBLE_EQ(young_interval(2, 10000), 200);
  SaveClock clock({.interval = SaveInterval::parse("auto"), .mtbf_seconds = 10000, .guessed_cost = 2}, 0);
  EXPECT_DOUBLE_EQ(clock.interval_seconds(), 200);
  clock.measured(8, 8);
  EXPECT_DOUBLE_EQ(clock.interval_seconds(), 400);
  EXPECT_FALSE(clock.due(1, 399));
  EXPECT_TRUE(clock.due(1, 401));
}

TEST(SaveClock, AutoNeverSpendsMostOfTheRunOnSaves) {
  SaveClock clock({.interval = SaveInterval::parse("auto"), .mtbf_seconds = 10, .guessed_cost = 1}, 0);
  clock.measured(100, 100);
  EXPECT_GE(clock.interval_seconds(), 1000);
}

TEST(SaveClock, LeavesTimeForAStepAndASaveBeforeTheLimit) {
  SaveClock clock({.interval = SaveInterval::parse("off"), .time_limit = 100}, 1000);
  clock.measured(3, 10);
  clock.stepped(5);
  EXPECT_FALSE(clock.out_of_time(1000 + 100 - 2 * 10 - 2 * 5 - 1));
  EXPECT_TRUE(clock.out_of_time(1000 + 100 - 2 * 10 - 2 * 5 + 1));
  EXPECT_FALSE(SaveClock({}, 0).out_of_time(1e12));
}

}  // namespace
}  // namespace trireme
