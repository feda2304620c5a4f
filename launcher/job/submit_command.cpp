// submit and resume: both hand a job's folder to a runner, in the background of this machine or at Slurm.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "launcher/job/job_agent.hpp"
#include "launcher/job/job_commands.hpp"
#include "launcher/job/job_plan.hpp"
#include "launcher/job/job_process.hpp"
#include "launcher/job/job_view.hpp"
#include "launcher/job/slurm.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/print.hpp"

extern char** environ;

namespace trireme {
namespace {

void place_run_folder(JobDescription& job, std::int64_t id) {
  if (job.run_dir == "auto") job.run_dir = fmt::format("{}/runs/{}-{}", job.directory, job.name, id);
}

/// Until the runner holds its lock or has already ended; it says in its log why it could not.
void wait_for_start(const JobFolder& folder) {
  for (int tries = 0; tries < 200; ++tries) {
    if (folder.runner() || folder.state().phase != JobPhase::queued) return;
    ::usleep(50000);
  }
  fail(ExitCode::failure, "job {} did not start within 10 s; see '{}'", folder.id(), folder.file("runner.log"));
}

void warn_of_missing(const JobDescription& job) {
  const auto values = job.variable_values();
  for (const std::string& name : job.variable_names()) {
    const bool given = std::ranges::any_of(values, [&](const auto& one) { return one.first == name; });
    if (given || std::getenv(name.c_str()) != nullptr) continue;
    log::warning("the variable {} is named by the job and not set here: the ranks will not have it", name);
  }
}

void hand_over(const JobFolder& folder, const JobDescription& job) {
  warn_of_missing(job);
  const JobPlace place{.folder = folder.path(), .trireme = own_program(), .id = folder.id()};
  const auto variables = visible_variables(job, environ);
  if (job.backend != Backend::slurm) {
    start_detached(runner_words(place), variables, folder.file("runner.log"));
    return wait_for_start(folder);
  }
  folder.write_text("batch.sh", batch_script);
  folder.write_text("slurm_id", submit_to_slurm(sbatch_words(job, place, variables)) + "\n");
}

/// Hands over, and remembers why where that is refused.
void hand_over_or_note(const JobFolder& folder, const JobDescription& job) {
  try {
    hand_over(folder, job);
  } catch (const Error& error) {
    JobState state = folder.state();
    state.phase = JobPhase::failed;
    state.code = static_cast<int>(error.code());
    state.reason = error.what();
    state.ended = seconds_since_1970();
    folder.write(state);
    throw;
  }
}

/// A job that cannot be queued is none.
void begin(const JobFolder& folder, const JobDescription& job) {
  try {
    folder.begin(job, {.submitted = seconds_since_1970()});
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove_all(folder.path(), ignored);
    throw;
  }
}

std::int64_t next_number(const JobStore& store) {
  const auto jobs = store.list();
  return jobs.empty() ? 1 : jobs.back().id() + 1;
}

void print_preview(JobDescription& job) {
  const JobStore store;
  const std::int64_t id = next_number(store);
  place_run_folder(job, id);
  const JobPlace place{
      .folder = fmt::format("{}/{}", JobStore::usual_folder(), id), .trireme = own_program(), .id = id};
  print_out(preview(job, place, visible_variables(job, environ)));
}

}  // namespace

int submit_command(std::span<const std::string> args) {
  JobDescription job;
  bool print = false;
  OptionSet options({.name = "trireme submit",
                     .summary = "starts a job that goes on without this terminal, and again after failures",
                     .examples = {"trireme submit job.ini", "trireme submit job.ini --backend slurm --nodes 2 --print",
                                  "trireme submit --program ./image_classification --ranks-per-node 2"},
                     .sources = OptionSources::file_operand});
  options.group("General").add("print", &print, "print the exact commands and start nothing");
  job.declare(options);
  std::vector<std::string> files;
  options.positional("[JOB.ini]", &files, "the description; keys are the options below, lines KEY = VALUE");
  if (options.parse({args.begin(), args.end()}) == ParseOutcome::exit_done) return 0;
  if (files.size() > 1) {
    fail(ExitCode::usage, "trireme submit: found {} files, wanted one; arguments of the program belong to --arguments",
         files.size());
  }
  resolve(job, options);
  if (print) {
    print_preview(job);
    return 0;
  }
  const JobStore store;
  adopt_orphans(store);
  const JobFolder folder = store.create();
  place_run_folder(job, folder.id());
  folder.write_text("job.ini", options.to_ini());
  begin(folder, job);
  hand_over_or_note(folder, job);
  print_out(fmt::format("job {}{}; trireme status {}\n", folder.id(),
                        job.run_folder().empty() ? "" : ": run folder " + harmless(job.run_folder()), folder.id()));
  return 0;
}

int resume_command(std::span<const std::string> args) {
  CommandLine line(
      {.name = "trireme resume", .summary = "starts a job that ended or was lost again, in the same run folder"},
      {.words = "JOB", .description = "its number"});
  const auto operands = line.parse(args);
  if (!operands) return 0;
  const JobFolder folder = JobStore().open(operands->front());
  const JobView view = look_at_job(folder);
  if (view.phase == "done") fail(ExitCode::usage, "job {} is done; submit it anew to repeat it", folder.id());
  if (!is_final(view.state.phase) && !view.is_abandoned()) {
    fail(ExitCode::usage, "job {} is {} and needs no start", folder.id(), view.phase);
  }
  folder.remove("cancel");
  JobState state = view.state;
  state.phase = JobPhase::queued;
  state.reason = "";
  state.ended = 0;
  state.process = 0;
  state.submitted = seconds_since_1970();
  // Somebody has looked at it: earlier failures do not count.
  state.history.failures.clear();
  state.history.stuck = 0;
  folder.begin(view.job, state);
  hand_over_or_note(folder, view.job);
  print_out(fmt::format("job {} goes on; trireme status {}\n", folder.id(), folder.id()));
  return 0;
}

}  // namespace trireme
