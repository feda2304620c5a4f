#include "launcher/job/job_agent.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "launcher/job/job_database.hpp"
#include "launcher/job/job_plan.hpp"
#include "launcher/job/job_process.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/run_lock.hpp"

extern char** environ;

namespace trireme {
namespace {

constexpr int look_microseconds = 200000;
/// A runner that ends sooner than this has come to nothing.
constexpr double short_life = 10;
constexpr double longest_delay = 60;
constexpr int most_failures = 30;
/// Until a process that was started holds its lock.
constexpr double start_seconds = 5;

std::string agent_folder(const JobFolder& folder) { return folder.file("agent"); }

bool has_agent(const JobFolder& folder) { return run_owner(agent_folder(folder)).has_value(); }

void start_runner(const JobFolder& folder, const std::vector<std::string>& variables) {
  const JobPlace place{.folder = folder.path(), .trireme = own_program(), .id = folder.id()};
  start_detached(runner_words(place), variables, folder.file("runner.log"));
}

void wait_for_runner(const JobFolder& folder) {
  const double end = seconds_since_1970() + start_seconds;
  while (!folder.runner() && !is_final(folder.state().phase) && seconds_since_1970() < end) ::usleep(20000);
}

class JobAgent {
 public:
  explicit JobAgent(JobFolder folder) : folder_(std::move(folder)) {}

  int run() {
    while (failures_ < most_failures) {
      std::error_code ignored;
      if (!std::filesystem::exists(folder_.path(), ignored)) return 0;
      try {
        if (!folder_.runner() && !look()) return 0;
      } catch (const Error& error) {
        count_failure();
        log::warning("the agent of job {}: {}", folder_.id(), error.what());
      }
      ::usleep(look_microseconds);
    }
    log::error("the runner of job {} does not stay alive: its agent gives up", folder_.id());
    return static_cast<int>(ExitCode::do_not_restart);
  }

 private:
  /// Nobody runs the job: false where it has ended.
  bool look() {
    if (is_final(folder_.state().phase)) return false;
    if (seconds_since_1970() < not_before_) return true;
    log::warning("the runner of job {} is gone: starting it again", folder_.id());
    count_failure();
    start_runner(folder_, own_variables());
    wait_for_runner(folder_);
    return true;
  }

  /// Each runner in a row that dies young doubles the time until the next one.
  void count_failure() {
    const double now = seconds_since_1970();
    failures_ = now < started_ + short_life + delay_ ? failures_ + 1 : 0;
    delay_ = failures_ == 0 ? 0 : std::min(longest_delay, 0.1 * static_cast<double>(1 << std::min(failures_, 20)));
    started_ = now;
    not_before_ = now + delay_;
  }

  JobFolder folder_;
  double started_ = 0, delay_ = 0, not_before_ = 0;
  int failures_ = 0;
};

/// The values of variables that a job names are kept nowhere: who takes it over must have them.
bool has_variables(const JobDescription& job) {
  const auto given = job.variable_values();
  return std::ranges::all_of(job.variable_names(), [&](const std::string& name) {
    return std::getenv(name.c_str()) != nullptr ||
           std::ranges::any_of(given, [&](const auto& one) { return one.first == name; });
  });
}

bool adopt(const JobFolder& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder.file("job.ini"), ignored) || folder.runner() || has_agent(folder)) return false;
  JobDescription job;
  folder.read(job);
  if (!has_variables(job)) return false;
  log::warning("nobody ran job {} any more: it goes on", folder.id());
  start_runner(folder, visible_variables(job, environ));
  return true;
}

}  // namespace

int job_agent_command(std::span<const std::string> args) {
  CommandLine line({.name = "trireme job-agent", .summary = "Keeps a submitted job's runner alive; started by it."},
                   {.words = "FOLDER", .description = "of the job"});
  const auto operands = line.parse(args);
  if (!operands) return 0;
  const JobFolder folder = job_folder_at(operands->front(), "job-agent");
  ::mkdir(agent_folder(folder).c_str(), 0700);
  if (has_agent(folder)) return 0;
  const RunLock lock(agent_folder(folder), fmt::format("{}", folder.id()));
  return JobAgent(folder).run();
}

void keep_agent(const JobFolder& folder, double& not_before) {
  const double now = seconds_since_1970();
  if (now < not_before) return;
  try {
    if (has_agent(folder)) return;
    // It takes a moment to take its lock.
    not_before = now + 1;
    start_detached({own_program(), "job-agent", folder.path()}, own_variables(), folder.file("runner.log"));
  } catch (const Error& error) {
    log::warning("job {} has no agent: {}", folder.id(), error.what());
  }
}

void begin_agent(const JobFolder& folder) {
  double never = 0;
  keep_agent(folder, never);
  const double end = seconds_since_1970() + start_seconds;
  while (!has_agent(folder) && seconds_since_1970() < end) ::usleep(10000);
}

void adopt_orphans(const JobStore& store) {
  try {
    if (!JobDatabase::is_in(store.folder())) return;
    std::vector<JobFolder> adopted;
    for (const std::int64_t job : JobDatabase(store.folder()).unfinished()) {
      const JobFolder folder(fmt::format("{}/{}", store.folder(), job), job);
      if (adopt(folder)) adopted.push_back(folder);
    }
    for (const JobFolder& folder : adopted) wait_for_runner(folder);
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

}  // namespace trireme
