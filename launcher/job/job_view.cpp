#include "launcher/job/job_view.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "core/io/json_object.hpp"
#include "launcher/job/effective_time.hpp"
#include "launcher/job/job_database.hpp"
#include "launcher/job/job_runner.hpp"
#include "launcher/job/rank_end.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/metrics.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// A runner that was started a moment ago may not hold the lock yet.
constexpr double fresh_seconds = 20;
constexpr std::size_t steps_for_rate = 20;

std::string local_time(double seconds) {
  if (seconds <= 0) return "-";
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::localtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts));
}

double age_of(const std::string& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  if (error) return 0;
  return std::max(0.0, std::chrono::duration<double>(fs::file_time_type::clock::now() - time).count());
}

/// From the last steps of the present start: a restart or a validation in between would distort it.
double seconds_a_step(const std::vector<StepRecord>& steps) {
  if (steps.size() < 2) return -1;
  const StepRecord& last = steps.back();
  const StepRecord& first = steps[steps.size() - std::min(steps.size(), steps_for_rate + 1)];
  const auto count = static_cast<double>(last.step - first.step);
  return count > 0 ? (last.elapsed_seconds - first.elapsed_seconds) / count : -1;
}

std::int64_t planned_steps(const std::string& run_folder) {
  const std::string path = run_folder + "/plan.json";
  if (!fs::exists(path)) return 0;
  const Json json = parse_json(read_file(path, 1 << 16), path, "the plan of a run");
  return JsonObject(json, path, "").count("steps");
}

/// "14:05" today, with its date on another day.
std::string clock_time(double seconds) {
  const std::string text = local_time(seconds);
  return text.substr(0, 10) == local_time(seconds_since_1970()).substr(0, 10) ? text.substr(11, 5) : text.substr(0, 16);
}

std::string holder_text(const SlotHolder& holder) {
  return fmt::format("job {} holds {} until {}", holder.job, fmt::join(holder.hosts, ", "),
                     holder.until == SlotHolder::unknown ? "it ends" : "about " + clock_time(holder.until));
}

/// Where a job of a list of hosts runs, or why it has no place yet.
void look_at_queue(JobView& view, const JobFolder& folder) {
  const JobDatabase database(folder.jobs_folder());
  if (const auto placement = database.placement(folder.id())) {
    for (const HostSlots& host : read_hosts(placement->hosts))
      view.hosts += (view.hosts.empty() ? "" : ", ") + host.name;
    return;
  }
  const QueuePlan plan = plan_queue(database.queue(), seconds_since_1970());
  const auto at = std::ranges::find_if(plan.waiting, [&](const WaitingJob& one) { return one.job == folder.id(); });
  // It could have its slots, and waits for hosts that do not answer.
  if (at == plan.waiting.end() && view.state.phase == JobPhase::pausing) return;
  view.phase = "waiting";
  view.reason = fmt::format("for {} slots", view.job.ranks());
  if (at == plan.waiting.end()) return;
  std::vector<std::string> parts;
  for (const SlotHolder& holder : at->holders) parts.push_back(holder_text(holder));
  for (const LostHost& one : at->without)
    parts.push_back(fmt::format("{} was lost and is left out until {}", one.name, clock_time(one.until)));
  if (at->behind != 0) parts.push_back(fmt::format("behind job {}", at->behind));
  if (!parts.empty()) view.reason += fmt::format(": {}", fmt::join(parts, "; "));
}

constexpr std::size_t longest_cause = 500;

/// Of the newest start that has ended; nothing where that ended well, or by nobody's fault.
std::string last_cause(const JobFolder& folder, const JobState& state) {
  const std::int64_t start = state.starts - (state.phase == JobPhase::running ? 1 : 0);
  const std::string path = folder.start_folder(start) + "/cause.txt";
  if (!fs::exists(path)) return {};
  std::string text = read_file(path, std::size_t{1} << 20);
  text.resize(std::min({text.size(), text.find('\n'), longest_cause}));
  return fmt::format("start {}: {}", start, harmless(text));
}

void look_at_slurm(JobView& view) {
  const SlurmView slurm = ask_slurm(view.slurm_id);
  if (!slurm.problem.empty()) {
    view.reason = "Slurm does not answer: " + slurm.problem;
  } else if (slurm.state.empty() && view.state.phase == JobPhase::requeued) {
    view.phase = to_text(JobPhase::cancelled);
    view.reason += "; Slurm has not queued it again; trireme resume goes on";
  } else if (slurm.state.empty()) {
    view.phase = "lost";
    view.reason = "Slurm does not know the job any more (ended there, or forgotten); trireme resume goes on";
  } else if (slurm.state == "PENDING") {
    view.phase = "waiting";
    const bool dated = !slurm.start.empty() && slurm.start != "N/A";
    view.reason = fmt::format("Slurm: {}{}", slurm.reason, dated ? ", expected to start at " + slurm.start : "");
  } else if (slurm.state != "RUNNING") {
    view.reason = "Slurm: " + slurm.state;
  }
}

std::string state_line(const JobView& view) {
  std::string out = view.phase;
  if (view.state.starts > 1) out += fmt::format(", start {}", view.state.starts);
  const double pause = view.state.next_start - seconds_since_1970();
  if (view.state.phase == JobPhase::pausing && view.phase == "pausing" && pause > 0)
    out += fmt::format(", next start in {}", format_duration(pause));
  if (is_final(view.state.phase) && view.state.code != 0) out += fmt::format(" ({})", meaning_of_code(view.state.code));
  return out;
}

std::string step_line(const RunProgress& run) {
  if (run.step == 0) return "none yet";
  std::string out = fmt::format("{}", run.step);
  if (run.steps > 0) out += fmt::format(" of {}", run.steps);
  out += fmt::format(", loss {:.4g}, {} samples/s", run.loss, format_rate(run.samples_per_second));
  if (run.seconds_to_go >= 0) out += fmt::format(", {} to go", format_duration(run.seconds_to_go));
  return out;
}

}  // namespace

std::optional<RunProgress> read_progress(const std::string& run_folder) {
  if (run_folder.empty() || !fs::exists(run_folder + "/metrics.jsonl")) return std::nullopt;
  RunProgress out;
  try {
    const MetricsHistory history = read_metrics(run_folder + "/metrics.jsonl");
    out.steps = planned_steps(run_folder);
    out.checkpoint = newest_checkpoint(run_folder);
    if (out.checkpoint >= 0)
      out.checkpoint_age = age_of(fmt::format("{}/checkpoints/step_{:08}", run_folder, out.checkpoint));
    if (history.steps.empty()) return out;
    const StepRecord& last = history.steps.back();
    out.step = last.step;
    out.loss = last.loss;
    out.elapsed = last.elapsed_seconds;
    out.samples_per_second = last.samples_per_second;
    const double pace = seconds_a_step(history.steps);
    if (out.steps > 0 && pace >= 0) out.seconds_to_go = pace * static_cast<double>(out.steps - out.step);
  } catch (const Error&) {
    return std::nullopt;
  }
  return out;
}

JobView look_at_job(const JobFolder& folder) {
  JobView view;
  folder.read(view.job);
  view.state = folder.state();
  view.phase = to_text(view.state.phase);
  view.reason = view.state.reason;
  view.cause = last_cause(folder, view.state);
  view.progress = read_progress(view.job.run_folder());
  if (view.progress) {
    view.effective = effective_share({.folder = folder.path(),
                                      .submitted = view.state.submitted,
                                      .end = view.state.ended,
                                      .elapsed = view.progress->elapsed});
  }
  if (const auto id = folder.text("slurm_id")) view.slurm_id = id->substr(0, id->find('\n'));
  if (is_final(view.state.phase)) return view;
  const auto runner = folder.runner();
  view.place = runner.value_or("");
  if (view.job.backend == Backend::hosts) look_at_queue(view, folder);
  if (view.job.backend == Backend::slurm) {
    look_at_slurm(view);
  } else if (!runner && seconds_since_1970() > std::max(view.state.submitted, view.state.started) + fresh_seconds) {
    view.phase = "lost";
    view.reason =
        "nobody runs it any more (killed, or its host went down), and a variable that it names is not set here, or its "
        "runner does not start (runner.log); trireme resume goes on";
  }
  return view;
}

std::string describe(const JobFolder& folder, const JobView& view) {
  TextTable table({{"", Align::left}, {"", Align::left}});
  table.add({"job", fmt::format("{} ({})", folder.id(), view.job.name)});
  table.add({"state", state_line(view)});
  if (!view.reason.empty()) table.add({"reason", view.reason});
  if (!view.cause.empty()) table.add({"last failure", view.cause});
  table.add({"back end", to_text(view.job.backend) + (view.slurm_id.empty() ? "" : ", job " + view.slurm_id) +
                             (view.place.empty() ? "" : ", " + view.place)});
  table.add({"ranks", fmt::format("{} on {} host{}{}{}", view.job.ranks(), view.job.nodes,
                                  view.job.nodes == 1 ? "" : "s", view.hosts.empty() ? "" : ": ", view.hosts)});
  table.add({"submitted", local_time(view.state.submitted)});
  if (is_final(view.state.phase)) table.add({"ended", local_time(view.state.ended)});
  if (view.progress) {
    table.add({"step", step_line(*view.progress)});
    if (view.progress->checkpoint >= 0) {
      table.add({"checkpoint", fmt::format("step {}, {} ago", view.progress->checkpoint,
                                           format_duration(view.progress->checkpoint_age))});
    }
  }
  if (view.effective)
    table.add({"effective", fmt::format("{:.0f} % of the time since its first start", 100 * *view.effective)});
  if (!view.job.run_folder().empty()) table.add({"run folder", view.job.run_folder()});
  table.add({"output", folder.file("output.log")});
  if (is_final(view.state.phase) && view.state.phase != JobPhase::done)
    table.add({"to go on", fmt::format("trireme resume {}, when the cause is mended", folder.id())});
  return table.text();
}

Json to_json(const JobFolder& folder, const JobView& view) {
  Json out{{"job", folder.id()},
           {"name", view.job.name},
           {"phase", view.phase},
           {"reason", view.reason},
           {"cause", view.cause},
           {"backend", to_text(view.job.backend)},
           {"slurm_id", view.slurm_id},
           {"hosts", view.hosts},
           {"starts", view.state.starts},
           {"code", view.state.code},
           {"submitted", view.state.submitted},
           {"ended", view.state.ended},
           {"run_folder", view.job.run_folder()},
           {"folder", folder.path()}};
  if (view.progress) {
    out["step"] = view.progress->step;
    out["steps"] = view.progress->steps;
    out["loss"] = view.progress->loss;
    out["samples_per_second"] = view.progress->samples_per_second;
    out["seconds_to_go"] = view.progress->seconds_to_go;
    out["checkpoint"] = view.progress->checkpoint;
    out["effective"] = view.effective ? Json(*view.effective) : Json();
  }
  return out;
}

}  // namespace trireme
