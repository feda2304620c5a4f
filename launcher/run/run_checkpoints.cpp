#include "launcher/run/run_checkpoints.hpp"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <set>

#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "launcher/run/run_folder.hpp"

namespace trireme {
namespace {

std::string name_of_data(const Trainer& trainer) {
  return fmt::format("{}, {} samples", trainer.training_data().fingerprint(), trainer.training_data().count());
}

/// Options that say how a run is carried out and not what it computes.
bool only_carries_out(const std::string& group) {
  static const std::set<std::string> groups = {"Run", "Machine", "Checkpoints", "General"};
  return groups.contains(group);
}

}  // namespace

RunCheckpoints::RunCheckpoints(Session& session, const OptionSet& options, const CheckpointOptions& wanted)
    : session_(session), options_(options), wanted_(wanted), started_(steady_seconds()) {
  wanted.interval();
  wanted.time_limit();  // mistakes are said before the data is read
  signals_.emplace();
}

RunCheckpoints::~RunCheckpoints() = default;

void RunCheckpoints::check_options(const LoadedCheckpoint& from) const {
  // With these the stream of samples or the meaning of the moments would be another.
  // The last ones change what a network computes without changing the shape of any tensor.
  static const std::set<std::string> fixed = {"seed",          "validation", "precision", "optimizer", "shuffle",
                                              "shuffle-block", "heads",      "kv-heads",  "rope-base", "window"};
  std::vector<std::string> changed, refused;
  for (const ResolvedOption& option : options_.resolved()) {
    if (!from.manifest.options.contains(option.name) || only_carries_out(option.group)) continue;
    const Json& old = from.manifest.options[option.name];
    if (!old.is_string() || old.get<std::string>() == option.value) continue;
    (fixed.contains(option.name) ? refused : changed)
        .push_back(fmt::format("--{} {} (was {})", option.name, option.value, old.get<std::string>()));
  }
  if (!refused.empty())
    fail(ExitCode::usage, "cannot go on from {} with {}: start with the old value, or begin a new run with --init-from",
         from.path, fmt::join(refused, ", "));
  if (!changed.empty() && session_.leads())
    log::warning("going on with options that are not those of the checkpoint: {}", fmt::join(changed, ", "));
}

void RunCheckpoints::check_data(const LoadedCheckpoint& from, const Trainer& trainer) const {
  if (from.manifest.data == name_of_data(trainer)) return;
  if (!wanted_.other_data)
    fail(ExitCode::usage,
         "cannot go on from {}: it was trained on the data {}, this is {}. Give --data as before, or "
         "--allow-other-data to go on all the same",
         from.path, from.manifest.data, name_of_data(trainer));
  if (session_.leads()) log::warning("going on with other training data than that of {}", from.path);
}

void RunCheckpoints::clean(const std::string& run_folder) {
  std::string complaint;
  try {
    if (session_.leads()) CheckpointStore(run_folder + "/checkpoints").clean();
  } catch (const Error& error) {
    complaint = error.what();
  }
  complaint = first_complaint(session_.world(), complaint);
  if (!complaint.empty()) fail(ExitCode::storage, "{}", complaint);
}

void RunCheckpoints::check_not_left_behind(const std::string& run_folder, const std::vector<std::string>& own) const {
  namespace fs = std::filesystem;
  if (own.empty() || !session_.leads()) return;
  const fs::path asked = fs::weakly_canonical(wanted_.resume), run = fs::weakly_canonical(run_folder);
  const fs::path newest = fs::weakly_canonical(own.front());
  if (asked == run || asked == run / "checkpoints" || asked == newest) return;
  if (asked.parent_path() == newest.parent_path())
    fail(ExitCode::usage,
         "--resume {}: this run has gone on to {}. To train from the older one again give a new --run-dir with the "
         "same --resume; to go on from the newest leave --resume out",
         wanted_.resume, newest.filename().string());
  log::warning("--resume {} began this run; it goes on from its own newest checkpoint, {}", wanted_.resume,
               newest.string());
}

std::optional<LoadedCheckpoint> RunCheckpoints::restore(Trainer& trainer, const std::string& run_folder) {
  Communicator& ranks = session_.world();
  clean(run_folder);
  std::vector<std::string> candidates =
      wanted_.resume == "never" ? std::vector<std::string>{} : checkpoints_at(run_folder);
  const bool named = wanted_.resume != "auto" && wanted_.resume != "never";
  if (named) check_not_left_behind(run_folder, candidates);
  if (named && candidates.empty()) {
    candidates = checkpoints_at(wanted_.resume);
    const std::string complaint = candidates.empty() && session_.leads() ? "no checkpoint" : "";
    if (!first_complaint(ranks, complaint).empty())
      fail(ExitCode::usage, "--resume {}: there is no checkpoint; give a run folder or a folder step_NNNNNNNN",
           wanted_.resume);
  }
  const std::vector<NamedTensor> tensors = trainer.tensors();
  std::optional<LoadedCheckpoint> from = load_newest(ranks, candidates, tensors);
  if (from) {
    check_options(*from);
    check_data(*from, trainer);
    if (!named) saved_step_ = from->manifest.step;
    trainer.restore(TrainerState::from_json(from->manifest.trainer));
    return from;
  }
  if (wanted_.init_from.empty()) return std::nullopt;
  const std::vector<std::string> mismatches = take_weights(trainer, WeightKind::trained);
  if (session_.leads())
    for (const std::string& line : mismatches) log::warning("--init-from: {}", line);
  return std::nullopt;
}

void RunCheckpoints::load_only(Trainer& trainer) {
  signals_.reset();
  if (wanted_.init_from.empty()) fail(ExitCode::usage, "there are no weights to take: give --init-from PATH");
  if (const auto mismatches = take_weights(trainer, WeightKind::averaged); !mismatches.empty())
    fail(ExitCode::usage, "--init-from {}: it is another network than the one asked for: {}", wanted_.init_from,
         fmt::join(mismatches, "; "));
}

std::vector<std::string> RunCheckpoints::take_weights(Trainer& trainer, WeightKind kind) {
  Communicator& ranks = session_.world();
  const std::vector<std::string> sources = checkpoints_at(wanted_.init_from);
  if (!first_complaint(ranks, sources.empty() && session_.leads() ? "no checkpoint" : "").empty())
    fail(ExitCode::usage, "--init-from {}: there is no checkpoint; give a run folder or a folder step_NNNNNNNN",
         wanted_.init_from);
  std::vector<std::string> mismatches = load_weights(ranks, {sources, kind}, trainer.tensors()).differences;
  trainer.parameters_changed();
  return mismatches;
}

void RunCheckpoints::start(Trainer& trainer, const std::string& run_folder, MetricsWriter* metrics) {
  trainer_ = &trainer;
  run_folder_ = run_folder;
  metrics_ = metrics;
  last_step_at_ = steady_seconds();
  std::int64_t bytes = 0;
  for (const NamedTensor& one : trainer.tensors()) bytes += static_cast<std::int64_t>(one.tensor.bytes());
  clock_ = std::make_unique<SaveClock>(
      SaveClock::Settings{.interval = wanted_.interval(),
                          .mtbf_seconds = 3600 * wanted_.mtbf_hours,
                          .time_limit = wanted_.time_limit(),
                          .guessed_cost = 0.05 + static_cast<double>(bytes) / session_.world().size() / 500e6},
      started_);
  if (wanted_.interval().kind == SaveInterval::Kind::off) return;
  using Writing = Checkpointer::Writing;
  checkpointer_ = std::make_unique<Checkpointer>(
      session_.mesh().shared_axis("data"),
      Checkpointer::Settings{.folder = run_folder + "/checkpoints",
                             .keep = wanted_.keep(),
                             .writing = wanted_.in_background ? Writing::in_background : Writing::at_once,
                             .stream = &session_.stream(),
                             .before_publishing = [metrics] {
                               if (metrics) metrics->sync();
                             }});
  clock_->began(last_step_at_);
}

Wishes RunCheckpoints::wishes_to_leave() const {
  return {.stop = signals_ && stop_signal() != 0 ? 1.0 : 0.0,
          .time = session_.leads() && clock_->out_of_time(steady_seconds()) ? 1.0 : 0.0};
}

Wishes RunCheckpoints::wishes(std::int64_t step) {
  Wishes out = wishes_to_leave();
  if (!session_.leads()) return out;
  if (!checkpointer_ || !clock_->due(step, steady_seconds())) return out;
  if (!checkpointer_->busy()) {
    out.save = 1;
  } else {
    log::warning("no checkpoint of step {}: the one before is still being written; save less often", step);
    clock_->began(steady_seconds());
  }
  return out;
}

CheckpointManifest RunCheckpoints::head() const {
  Json options = Json::object();
  for (const ResolvedOption& option : options_.resolved()) options[option.name] = option.value;
  const TrainerState& state = trainer_->state();
  return {.step = state.steps,
          .samples = state.samples,
          .ranks = session_.world().size(),
          .version = TRIREME_VERSION,
          .created = utc_now(),
          .data = name_of_data(*trainer_),
          .options = std::move(options),
          .trainer = state.to_json(),
          .files = {},
          .tensors = {}};
}

void RunCheckpoints::save() {
  clock_->began(steady_seconds());
  hear(checkpointer_->begin(head(), trainer_->tensors()));
}

void RunCheckpoints::hear(const std::optional<SaveReport>& report) {
  if (!report) return;
  last_error_ = report->error;
  if (report->error.empty()) {
    saved_step_ = report->step;
    clock_->measured(report->stalled_seconds, report->seconds);
  }
  if (!session_.leads()) return;
  if (!report->error.empty()) {
    log::warning(
        "the checkpoint of step {} could not be written and is given up: {}. Training goes on; the next try "
        "is at the next interval",
        report->step, report->error);
    if (metrics_) metrics_->event(report->step, "checkpoint_failed", report->error);
    return;
  }
  const std::string text =
      fmt::format("{}: {:.1f} MB in {:.2f} s, training stood still for {:.3f} s", report->path,
                  static_cast<double>(report->bytes) / 1e6, report->seconds, report->stalled_seconds);
  if (metrics_) metrics_->event(report->step, "checkpoint", text);
}

void RunCheckpoints::save_or_fail(const std::string& why) {
  hear(checkpointer_->wait());
  const std::int64_t step = trainer_->steps_done();
  if (saved_step_ == step) return;
  save();
  hear(checkpointer_->wait());
  if (saved_step_ != step)
    fail(ExitCode::storage, "the checkpoint of step {} {} could not be written: {}. The newest one is {}", step, why,
         last_error_, saved_step_ < 0 ? std::string("from before this start, if any") : checkpoint_name(saved_step_));
}

/// The command a user has to type. Without --run-dir it would begin another run.
std::string RunCheckpoints::what_goes_on() const {
  for (const ResolvedOption& option : options_.resolved())
    if (option.name == "run-dir" && !option.value.empty()) return "the same command";
  return fmt::format("the same command with --run-dir {}", run_folder_);
}

void RunCheckpoints::save_and_leave(const Wishes& wishes) {
  const std::int64_t step = trainer_->steps_done();
  const std::string why =
      wishes.stop > 0 ? "on a stop signal" : fmt::format("before the time limit of {} (--max-time)", wanted_.max_time);
  if (!checkpointer_)
    fail(ExitCode::failure, "stopped {} after step {}; nothing is saved, because --checkpoint-every is off", why, step);
  save_or_fail(why);
  if (metrics_) {
    metrics_->event(step, "stopped", why);
    metrics_->line(
        fmt::format("stopped {} after step {}, which is saved; {} goes on from there", why, step, what_goes_on()));
  }
  throw LeaveJob{ExitCode::resume_me};
}

void RunCheckpoints::after_step(const Wishes& wishes) {
  const double time = steady_seconds();
  clock_->stepped(time - last_step_at_);
  if (checkpointer_ && checkpointer_->busy()) hear(checkpointer_->poll());
  const bool last = trainer_->steps_done() == trainer_->total_steps() && !trainer_->state().validation_due;
  if (!last && (wishes.stop > 0 || wishes.time > 0)) save_and_leave(wishes);
  if (!last && wishes.save > 0 && !checkpointer_->busy()) save();
  last_step_at_ = steady_seconds();
}

void RunCheckpoints::finish() {
  if (checkpointer_) save_or_fail("at the end");
  if (checkpointer_ && metrics_)
    metrics_->line(fmt::format("the last checkpoint is {}/{}", checkpointer_->folder(), checkpoint_name(saved_step_)));
  signals_.reset();
}

}  // namespace trireme
