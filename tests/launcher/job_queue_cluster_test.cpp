// The queue of a list of hosts and the processes that keep its jobs alive, on a virtual cluster of three hosts.
// TRIREME_JOB_KILLS sets the number of kills, --gtest_random_seed replays them.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <sstream>

#include "core/base/error.hpp"
#include "launcher/job/job_store.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "launcher/run/option_value.hpp"
#include "tests/launcher/cluster_job.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

const std::string queue_hosts = "hosts = host1:2,host2:2,host3:2\n";

class QueuedJob : public ClusterJob {
 protected:
  JobFolder job_folder(const std::string& job) const { return {terminal_->folder(job), std::atoll(job.c_str())}; }
  std::string output(const std::string& job) const { return job_folder(job).text("output.log").value_or(""); }

  /// Seconds from now until the run has its first step; `begin` starts it.
  template <class Begin>
  double until_first_step(const std::string& run, const Begin& begin) const {
    const double start = steady_seconds();
    begin();
    const std::string metrics = run + "/metrics.jsonl";
    while (steady_seconds() < start + 60) {
      std::error_code none_yet;
      if (std::filesystem::exists(metrics, none_yet) && has(read_file(metrics), "\"kind\":\"step\"")) break;
      ::usleep(5000);
    }
    return steady_seconds() - start;
  }
};

/// The ranks write down when they come and go, and where.
TEST_F(QueuedJob, six_jobs_share_three_hosts_and_all_finish) {
  start("3");
  if (IsSkipped()) return;
  const std::string ledger = cluster_folder + "/ledger";
  const std::string script =
      "echo + $TRIREME_JOB $(hostname) >>" + ledger + "; sleep 1; echo - $TRIREME_JOB $(hostname) >>" + ledger;
  const std::string program = "program = /bin/sh\narguments = " + detail::quote_ini(join_words({"-c", script})) +
                              "\ndirectory = " + cluster_folder + "\nrun-dir = none\ncores-per-rank = 1\n" +
                              queue_hosts;
  std::vector<std::string> jobs;
  for (const auto& [nodes, ranks] : std::vector<std::pair<int, int>>{{3, 2}, {1, 2}, {2, 1}, {2, 2}, {1, 1}, {3, 1}})
    jobs.push_back(terminal_->submit(program + fmt::format("nodes = {}\nranks-per-node = {}\n", nodes, ranks)));
  EXPECT_TRUE(has(terminal_->status(jobs[1])["reason"].get<std::string>(), "job 1 holds host1, host2, host3"));
  for (const std::string& job : jobs) EXPECT_EQ(terminal_->wait_for(job, "done", 60)["starts"], 1) << job;
  std::map<std::string, int> used;
  std::map<std::string, std::set<std::string>> hosts_of;
  std::size_t lines = 0;
  std::istringstream all(read_file(ledger));
  for (std::string sign, job, host; all >> sign >> job >> host; ++lines) {
    used[host] += sign == "+" ? 1 : -1;
    EXPECT_LE(used[host], 2) << host << " is oversubscribed at line " << lines + 1;
    hosts_of[job].insert(host);
  }
  EXPECT_EQ(lines, 2u * (6 + 2 + 2 + 4 + 1 + 3));
  EXPECT_EQ(hosts_of["4"].size(), 2u);
}

TEST_F(QueuedJob, is_as_quick_to_its_first_step_as_mpirun_itself) {
  start("3");
  if (IsSkipped()) return;
  const std::string ini = cluster_folder + "/job.ini";
  const auto describe = [&](const std::string& run) {
    std::ofstream(ini) << description(queue_hosts + "nodes = 3\nrun-dir = " + cluster_folder + "/" + run + "\n");
  };
  describe("bare");
  const Said shown = terminal_->call({"submit", ini, "--print"});
  ASSERT_EQ(shown.code, 0) << shown.text;
  const double bare = until_first_step(cluster_folder + "/bare", [&] {
    EXPECT_EQ(terminal_->run({"sh", "-c", "{ " + shown.text + "} >/dev/null 2>&1 &"}).code, 0);
  });
  describe("queued");
  std::string job;
  const std::string ours = read_file(ini);
  const double queued = until_first_step(cluster_folder + "/queued", [&] { job = terminal_->submit(ours); });
  std::printf("from the command to the first step of 3 ranks on 3 hosts: mpirun %.2f s, trireme submit %.2f s\n", bare,
              queued);
  EXPECT_LT(queued, bare + 5);
  terminal_->wait_for(job, "done", 120);
}

/// Whom a kill meets. Ranks are killed on any host, the others live on the host of submission.
struct Victim {
  const char* name;
  const char* program;
  std::vector<std::string> words;
};

class KilledJob : public QueuedJob {
 protected:
  std::vector<Victim> victims(const std::string& job, const std::string& run) const {
    const JobFolder folder = job_folder(job);
    const std::string logs = folder.start_folder(folder.state().starts);
    return {{"runner", "trireme", {"job-run", folder.path()}},
            {"agent", "trireme", {"job-agent", folder.path()}},
            {"launch", "trireme", {"--log-dir=" + logs}},
            {"mpirun", "mpirun", {"rank-exec", "--log-dir", logs}},
            {"wrapper", "trireme", {"rank-exec", "--log-dir", logs}},
            {"rank", "resume_probe", {"--run-dir", run}}};
  }

  /// One process of the kind, as soon as there is one. False where the job ended first.
  bool kill_one(const std::string& job, const std::string& run, std::size_t kind) {
    for (; !ended(job); ::usleep(20000)) {
      const Victim victim = victims(job, run)[kind];
      const std::vector<pid_t> found = processes(victim.program, victim.words);
      if (found.empty() || ::kill(found[random_() % found.size()], SIGKILL) != 0) continue;
      ++met_[victim.name];
      return true;
    }
    return false;
  }
  /// Kills may come faster than checkpoints, but not for ever: the pause before a start doubles with each of them.
  /// After a few without a new checkpoint, waits for one (or for what a machine under load needs to make one).
  void let_it_get_on(const std::string& job, const std::string& run) {
    constexpr int most_without = 5;
    const auto newest = [&] {
      const auto list = CheckpointStore(run + "/checkpoints").list();
      return list.empty() ? std::int64_t{-1} : list.back().step;
    };
    if (newest() != saved_) {
      without_ = 0;
    } else if (++without_ >= most_without) {
      for (const double end = steady_seconds() + 120; newest() == saved_ && !ended(job) && steady_seconds() < end;)
        sleep_a_little();
      without_ = 0;
    }
    saved_ = newest();
  }
  /// All kinds in a random order, again and again.
  std::size_t next_kind() {
    if (kinds_.empty()) {
      kinds_.resize(victims("1", "").size());
      std::iota(kinds_.begin(), kinds_.end(), std::size_t{0});
      std::ranges::shuffle(kinds_, random_);
    }
    const std::size_t kind = kinds_.back();
    kinds_.pop_back();
    return kind;
  }
  static int wanted_kills() {
    const char* wanted = std::getenv("TRIREME_JOB_KILLS");
    return wanted != nullptr ? std::atoi(wanted) : 20;
  }
  bool ended(const std::string& job) const { return is_final(job_folder(job).state().phase); }

  /// No command of trireme is called meanwhile: it would start what is gone.
  void wait_until_ended(const std::string& job) const {
    for (const double end = steady_seconds() + 180; !ended(job) && steady_seconds() < end;) sleep_a_little();
    ASSERT_EQ(to_text(job_folder(job).state().phase), "done")
        << output(job) << job_folder(job).text("runner.log").value_or("");
  }

  std::mt19937 random_;
  std::vector<std::size_t> kinds_;
  std::map<std::string, int> met_;
  std::int64_t saved_ = -1;  ///< Step of the newest checkpoint at the last kill.
  int without_ = 0;          ///< Kills since it was made.
};

TEST_F(KilledJob, ends_as_if_nobody_had_been_killed) {
  start("3");
  if (IsSkipped()) return;
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  random_.seed(seed);
  int kills = 0;
  for (int round = 1; kills < wanted_kills() && !HasFailure(); ++round) {
    const std::string run = fmt::format("{}/run-{}", cluster_folder, round);
    std::string text =
        description(queue_hosts + "nodes = 2\nrestarts = 1000\nno-progress = 1000\nrun-dir = " + run + "\n", 10);
    // Kills come faster than checkpoints: the pause doubles with each of them.
    text.replace(text.find("restart-delay = 0.5s"), 20, "restart-delay = 0.05s");
    const std::string job = terminal_->submit(text);
    while (kills < wanted_kills() && !ended(job)) {
      ::usleep(700000 + static_cast<useconds_t>(random_() % 1200000));
      let_it_get_on(job, run);
      if (kill_one(job, run, next_kind())) ++kills;
    }
    wait_until_ended(job);
    if (HasFatalFailure()) return;
    expect_same(run);
  }
  std::string text;
  for (const auto& [name, count] : met_) text += fmt::format(" {} {}", count, name);
  std::printf("%d kills:%s\n", kills, text.c_str());
}

}  // namespace
}  // namespace trireme
