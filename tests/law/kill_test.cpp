// A rank is killed (SIGKILL) at a random time, and the same command is started again: the run must end with the weights
// and every logged loss of an undisturbed one, bit for bit. TRIREME_KILLS sets the number of kills (40),
// TRIREME_KILL_SEED the first seed; a failure prints the command that replays its seed alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/law/run_under_test.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

constexpr int most_tries = 40;  // of hitting what a seed wants to hit

enum class Moment { anywhere, in_a_save, before_the_first_checkpoint };

/// What one seed does: everything else follows from it.
struct Kill {
  std::uint64_t seed = 0;
  Moment moment = Moment::anywhere;
  int ranks = 2;
  std::string arguments = {};

  static Kill of(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Kill out{.seed = seed};
    out.moment = seed % 4 == 0   ? Moment::before_the_first_checkpoint
                 : seed % 4 == 1 ? Moment::in_a_save
                                 : Moment::anywhere;
    out.ranks = 2 + static_cast<int>(random() % 2);
    out.arguments = "--epochs 4 --checkpoint-every 7";
    if (random() % 2 == 0) out.arguments += " --checkpoint-async";
    return out;
  }
};

/// An undisturbed run, made once per (ranks, arguments).
const RunUnderTest& undisturbed(const Kill& kill) {
  static const TempDir dir;
  static std::map<std::string, RunUnderTest> runs;
  const std::string name = fmt::format("{}-{}", kill.ranks, kill.arguments.find("async") == std::string::npos);
  const auto [found, fresh] = runs.try_emplace(name, dir / name);
  if (fresh) {
    EXPECT_EQ(found->second.run(kill.ranks, kill.arguments), 0) << found->second.log_text();
  }
  return found->second;
}

bool hit(const RunUnderTest& run, Moment moment) {
  if (run.steps().empty() || run.finished()) return false;  // a step must have been running
  if (moment == Moment::in_a_save) return run.save_in_progress();
  return moment == Moment::anywhere || run.checkpoints().empty();
}

/// Starts the run and kills one of its ranks. True where the kill hit the moment it was meant for.
bool start_and_kill(const RunUnderTest& run, const Kill& kill, std::mt19937_64& random) {
  StartedJob job = run.start(kill.ranks, kill.arguments);
  const std::size_t total = undisturbed(kill).steps().size();
  const int victim = static_cast<int>(random() % static_cast<unsigned>(kill.ranks));
  const bool early = kill.moment == Moment::before_the_first_checkpoint;
  const std::size_t after = 1 + random() % (early ? 5 : total - 8);
  const auto delay = std::chrono::microseconds(random() % 3000);
  std::map<int, int> pids;
  if (!job.wait_until([&] { return !run.steps().empty(); })) return false;
  pids = job.rank_pids();
  if (pids.size() != static_cast<std::size_t>(kill.ranks)) return false;
  const bool reached = job.wait_until(
      [&] { return run.steps().size() >= after && (kill.moment != Moment::in_a_save || run.save_in_progress()); });
  if (!reached) return false;
  std::this_thread::sleep_for(delay);  // where in the step or save it strikes is left to chance
  ::kill(pids.at(victim), SIGKILL);
  const int code = job.wait();
  return code != 0 && hit(run, kill.moment);
}

void expect_same(const RunUnderTest& run, const RunUnderTest& wanted) {
  ASSERT_TRUE(run.finished());
  EXPECT_EQ(run.steps(), wanted.steps());
  ASSERT_FALSE(run.checkpoints().empty());
  ASSERT_EQ(run.checkpoints().back(), wanted.checkpoints().back());
  const std::int64_t last = wanted.checkpoints().back();
  EXPECT_EQ(tensors_of(run.checkpoint(last)), tensors_of(wanted.checkpoint(last)));
}

/// The seeds in two halves, which may run at a time.
class Killed : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Killed, OfARandomRankAtARandomTimeLosesNothing) {
  const char* const count = std::getenv("TRIREME_KILLS");
  const char* const first = std::getenv("TRIREME_KILL_SEED");
  const std::uint64_t begin = first ? std::strtoull(first, nullptr, 10) : 1;
  const std::uint64_t kills = count ? std::strtoull(count, nullptr, 10) : 40;
  int in_saves = 0, before_first = 0, resumed = 0, meant_for_saves = 0, meant_before_first = 0;
  for (std::uint64_t seed = begin; seed < begin + kills; ++seed) {
    if (seed % 2 != GetParam()) continue;
    SCOPED_TRACE(
        fmt::format("replay: TRIREME_KILL_SEED={} TRIREME_KILLS=1 {}/tests/tests_law "
                    "--gtest_filter='*Killed.OfARandom*'",
                    seed, TRIREME_BINARY_DIR));
    const Kill kill = Kill::of(seed);
    std::mt19937_64 random(seed);
    const TempDir dir;
    const RunUnderTest run(dir / "run");
    meant_for_saves += kill.moment == Moment::in_a_save ? 1 : 0;
    meant_before_first += kill.moment == Moment::before_the_first_checkpoint ? 1 : 0;
    int tries = 1;
    while (!start_and_kill(run, kill, random) && tries < most_tries) {
      ++tries;
      std::filesystem::remove_all(run.folder());
    }
    ASSERT_LT(tries, most_tries) << "the kill never hit its moment";
    in_saves += run.save_in_progress() ? 1 : 0;
    before_first += run.checkpoints().empty() ? 1 : 0;
    resumed += run.checkpoints().empty() ? 0 : 1;
    ASSERT_EQ(run.run(kill.ranks, kill.arguments), 0) << run.log_text();
    expect_same(run, undisturbed(kill));
    if (HasFailure()) FAIL() << run.log_text();
  }
  std::printf("%d inside a save, %d before the first checkpoint, %d resumed from one\n", in_saves, before_first,
              resumed);
  EXPECT_GE(in_saves, meant_for_saves);
  EXPECT_GE(before_first, meant_before_first);
}

INSTANTIATE_TEST_SUITE_P(Halves, Killed, testing::Values(0, 1),
                         [](const auto& half) { return half.param == 0 ? "even_seeds" : "odd_seeds"; });

}  // namespace
}  // namespace trireme
