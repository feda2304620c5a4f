// list, status, logs and cancel: what can be done with jobs that were submitted.
#include "launcher/job/job_commands.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "launcher/job/job_agent.hpp"
#include "launcher/job/job_view.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

const Operands one_job{.words = "JOB", .description = "its number, as trireme list shows it"};

std::string step_text(const JobView& view) {
  if (!view.progress || view.progress->step == 0) return "-";
  return view.progress->steps > 0 ? fmt::format("{}/{}", view.progress->step, view.progress->steps)
                                  : fmt::format("{}", view.progress->step);
}

/// A job whose files are damaged must not hide the others.
void add_row(TextTable& table, const JobFolder& folder) {
  const std::string id = fmt::format("{}", folder.id());
  try {
    const JobView view = look_at_job(folder);
    table.add({id, view.job.name, to_text(view.job.backend), view.phase, step_text(view),
               fmt::format("{}", view.state.starts), view.reason});
  } catch (const Error& error) {
    table.add({id, "?", "?", "unreadable", "-", "-", error.what()});
  }
}

/// The file that `logs` shows: of a rank, that of the newest start.
std::string log_file(const JobFolder& folder, std::int64_t rank) {
  if (rank < 0) return folder.file("output.log");
  const std::int64_t start = folder.state().starts;
  return fmt::format("{}/rank-{}.log", folder.start_folder(std::max<std::int64_t>(1, start)), rank);
}

/// At Slurm the runner may be on any host: a signal makes it look for the request now, a second one means at once. One
/// that has not written its state yet may not catch signals yet either.
void signal_slurm_runner(const JobView& view, int asked) {
  const bool ready = view.state.phase == JobPhase::running || view.state.phase == JobPhase::pausing;
  if (view.slurm_id.empty()) return;
  if (asked > 1) return cancel_slurm_job(view.slurm_id);
  if (ready) signal_slurm_job(view.slurm_id, "USR1");
}

bool ended(const JobFolder& folder) { return is_final(folder.state().phase); }

/// Prints what is there, and with `follow` what comes, until the job has ended.
void print_file(const JobFolder& folder, std::int64_t rank, const bool& follow) {
  std::string path = log_file(folder, rank);
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && !follow) {
    fail(ExitCode::usage, "there is no '{}' (yet){}", path,
         rank < 0 ? "" : "; logs of ranks lie on their hosts where these share no home");
  }
  for (;;) {
    // Asked before reading: what came before the end is read after it.
    const bool last = !follow || ended(folder);
    const std::string now = log_file(folder, rank);
    char bytes[1 << 16];
    for (ssize_t got = 0; file >= 0 && (got = ::read(file, bytes, sizeof bytes)) > 0;) {
      print_out({bytes, static_cast<std::size_t>(got)});
    }
    if (last) break;
    if (file < 0 || now != path) {
      if (file >= 0) ::close(file);
      path = now;
      file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    }
    ::usleep(200000);
  }
  if (file >= 0) ::close(file);
}

}  // namespace

int list_command(std::span<const std::string> args) {
  CommandLine line({.name = "trireme list", .summary = "lists the submitted jobs"},
                   {.words = "", .description = "", .count = 0});
  bool json = false;
  line.options().add("json", &json, "as a list for programs");
  if (!line.parse(args)) return 0;
  const JobStore store;
  adopt_orphans(store);
  const auto jobs = store.list();
  if (json) {
    Json all = Json::array();
    for (const JobFolder& folder : jobs) all.push_back(to_json(folder, look_at_job(folder)));
    print_json(all);
    return 0;
  }
  TextTable table({{"job", Align::right},
                   {"name"},
                   {"back end"},
                   {"state"},
                   {"step", Align::right},
                   {"starts", Align::right},
                   {"reason"}});
  for (const JobFolder& folder : jobs) add_row(table, folder);
  print_out(table.empty() ? "no job was submitted\n" : table.text());
  return 0;
}

int status_command(std::span<const std::string> args) {
  CommandLine line({.name = "trireme status", .summary = "says how a job stands"}, one_job);
  bool json = false;
  line.options().add("json", &json, "for programs");
  const auto operands = line.parse(args);
  if (!operands) return 0;
  const JobStore store;
  adopt_orphans(store);
  const JobFolder folder = store.open(operands->front());
  const JobView view = look_at_job(folder);
  if (json) {
    print_json(to_json(folder, view));
  } else {
    print_out(describe(folder, view));
  }
  return 0;
}

int logs_command(std::span<const std::string> args) {
  CommandLine line({.name = "trireme logs",
                    .summary = "prints what a job said, all its starts; with --rank one rank's lines of the newest"},
                   one_job);
  bool follow = false;
  std::int64_t rank = -1;
  line.options()
      .add("follow,f", &follow, "go on until the job ends")
      .add("rank", &rank, "this rank's log; -1: what the job said", {.low = -1, .high = 1 << 24});
  const auto operands = line.parse(args);
  if (!operands) return 0;
  const JobStore store;
  adopt_orphans(store);
  print_file(store.open(operands->front()), rank, follow);
  return 0;
}

int cancel_command(std::span<const std::string> args) {
  CommandLine line({.name = "trireme cancel", .summary = "asks a job to save and end; a second time: to end at once"},
                   one_job);
  const auto operands = line.parse(args);
  if (!operands) return 0;
  const JobStore store;
  adopt_orphans(store);
  const JobFolder folder = store.open(operands->front());
  const JobView view = look_at_job(folder);
  if (is_final(view.state.phase)) {
    fail(ExitCode::usage, "job {} has ended: {}", folder.id(), view.phase);
  }
  folder.ask_to_end();
  const int asked = folder.asked_to_end();
  const bool waits_at_slurm = view.phase == "waiting" && !view.slurm_id.empty();
  if (waits_at_slurm || view.is_abandoned()) {
    if (waits_at_slurm) cancel_slurm_job(view.slurm_id);
    JobState state = view.state;
    state.phase = JobPhase::cancelled;
    state.reason = "while " + view.phase;
    state.ended = seconds_since_1970();
    folder.write(state);
    print_out(fmt::format("job {} is cancelled\n", folder.id()));
    return 0;
  }
  if (view.job.backend == Backend::slurm) signal_slurm_runner(view, asked);
  print_out(fmt::format("job {}: asked to {}\n", folder.id(), asked > 1 ? "end at once" : "save and end"));
  return 0;
}

}  // namespace trireme
