// One thread that waits for signals, the launcher's output and the clock. Whatever asks for the end (cancel, a signal,
// the time limit, Slurm's warning) becomes the one request that `trireme launch` knows: SIGTERM, upon which the ranks
// save; a second one ends them at once.
#include "launcher/job/job_runner.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <set>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/hang_report.hpp"
#include "launcher/job/job_agent.hpp"
#include "launcher/job/job_database.hpp"
#include "launcher/job/job_plan.hpp"
#include "launcher/job/job_process.hpp"
#include "launcher/job/rank_end.hpp"
#include "launcher/job/ranks_lock.hpp"
#include "launcher/job/slurm.hpp"
#include "launcher/job/spare_hosts.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "launcher/run/run_lock.hpp"

namespace trireme {
namespace {

constexpr int turn_milliseconds = 200;
/// Whoever frees slots places those that wait; this is for jobs whose folders were removed.
constexpr int seconds_between_looks = 5;
/// A host that was started again is there within minutes.
constexpr double seconds_between_asking = 10, default_patience_seconds = 3600;
constexpr int tries_to_record = 60;
/// Ranks that were asked to save get a minute, and mpirun some seconds (supervise.cpp).
constexpr double patience_seconds = 90;

std::string date_and_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts));
}

std::string after_step(std::int64_t step) {
  return step < 0 ? "from the beginning" : fmt::format("after step {}", step);
}

class JobRunner {
 public:
  explicit JobRunner(JobFolder folder) : folder_(std::move(folder)) {}

  int run() {
    folder_.read(job_);
    prepare_process();
    state_ = folder_.state();
    // It may have ended while this process was on its way.
    if (is_final(state_.phase)) return state_.code;
    signals_ = open_signals();
    if (!at_slurm()) begin_agent(folder_);
    bool go_on = take_over();
    while (go_on) go_on = may_start() && judge(start());
    if (state_.phase == JobPhase::requeued) return wait_for_slurm();
    return state_.code;
  }

 private:
  /// Why the ranks were asked to end.
  enum class Ask { none, cancelled, signalled, out_of_time, moved };

  void prepare_process() {
    if (::chdir(job_.directory.c_str()) != 0) {
      fail(ExitCode::usage, "job {}: cannot enter its directory '{}': {}", folder_.id(), job_.directory,
           std::strerror(errno));
    }
    for (const auto& [name, value] : job_.variable_values()) ::setenv(name.c_str(), value.c_str(), 1);
    ::setenv("TRIREME_JOB", fmt::format("{}", folder_.id()).c_str(), 1);
    // sbatch leaves it so that steps get no more than the job has; here they shall get all of that.
    ::unsetenv("SLURM_EXPORT_ENV");
  }

  bool at_slurm() const { return job_.backend == Backend::slurm; }

  /// An earlier runner may have left the job in any phase: it was killed, or its host went down.
  bool take_over() {
    state_.host = host_name();
    state_.process = ::getpid();
    write_phase(state_.phase, state_.reason);
    if (state_.phase == JobPhase::running) {
      log::warning("an earlier runner of the job was lost while it ran");
      if (!at_slurm() && !wait_for_old_ranks()) return false;
      return judge(static_cast<int>(ExitCode::peer_lost));
    }
    if (state_.phase == JobPhase::pausing) return wait_for_next_start();
    if (folder_.asked_to_end() > 0) return finish(JobPhase::cancelled, "before its start");
    return true;
  }

  /// Slurm has given it its place, and has ended what ran before.
  bool may_start() {
    if (at_slurm()) return true;
    silent_since_ = 0;
    for (;;) {
      if (!wait_for_place() || !wait_for_old_ranks()) return false;
      if (asked_ != Ask::none) return judge_pause();
      if (hosts_answer()) return true;
      if (asked_ == Ask::none && !silence_.empty() && !wait_for_hosts()) return false;
    }
  }

  bool wait_for_place() {
    for (bool complained = false; asked_ == Ask::none; turn(nullptr)) {
      try {
        if (!queue_) queue_.emplace(folder_.jobs_folder());
        if (const auto found = queue_->placement(folder_.id())) {
          place_ = *found;
          if (job_.seconds_allowed() > 0) deadline_ = place_.since + job_.seconds_allowed();
          queue_.reset();
          return true;
        }
        if (seconds_since_1970() > next_look_) {
          next_look_ = seconds_since_1970() + seconds_between_looks;
          queue_->place_waiting();
        }
      } catch (const Error& error) {
        if (!complained) log::warning("{}", error.what());
        complained = true;
      }
    }
    return judge_pause();
  }

  /// Those of a runner that was killed save and end by themselves; so does an mpirun that lost its launcher. False
  /// where this process was asked to go away meanwhile.
  bool wait_for_old_ranks() {
    const double since = seconds_since_1970();
    for (bool told = false;; told = true) {
      ranks_lock_.emplace(folder_.path());
      const bool waited_long = seconds_since_1970() > since + patience_seconds;
      if (ranks_lock_->try_take()) {
        // Where somebody else keeps the run folder, the program says so.
        if (waited_long || job_.run_folder().empty() || !run_owner(job_.run_folder())) return true;
      } else if (waited_long || folder_.asked_to_end() > 1) {
        ranks_lock_->kill_holders();
      }
      ranks_lock_.reset();
      if (!told) note("waiting for the ranks of the last start to end");
      turn(nullptr);
      if (asked_ == Ask::signalled || asked_ == Ask::moved) return false;
    }
  }

  /// Takes the place that is to be had now. False, and without slots, where its hosts do not answer but may.
  bool hosts_answer() {
    if (place_.hosts.empty()) return true;
    try {
      const SpareHosts hosts(folder_, job_);
      const SpareHosts::Found found = hosts.look([this] {
        turn(nullptr);
        return asked_ == Ask::none;
      });
      // Somebody else's doing, or the end of the job.
      if (!found.place || asked_ != Ask::none) return false;
      for (const SilentHost& one : found.left) tell_once(fmt::format("without {}: {}", one.name, one.why));
      if (found.place->hosts != place_.hosts)
        tell_once(fmt::format("on {} instead of {}", found.place->hosts, place_.hosts));
      place_ = *found.place;
      silence_ = silence_text(found.silent);
      if (!silence_.empty()) hosts.give_back();
    } catch (const Error& error) {
      silence_ = error.what();
    }
    return silence_.empty();
  }

  /// Of those that may come back. Waiting would set up nothing at others: mpirun says what is wrong, and the job ends
  /// as after any failure.
  static std::string silence_text(const std::vector<SilentHost>& silent) {
    std::string out;
    for (const SilentHost& one : silent) {
      if (!one.may_return) return {};
      out += fmt::format("{}{} does not answer ({})", out.empty() ? "" : ", ", one.name, one.why);
    }
    return out;
  }

  void tell_once(const std::string& text) {
    if (told_.insert(text).second) note(text);
  }

  /// False where it was for too long.
  bool wait_for_hosts() {
    const double now = seconds_since_1970();
    if (silent_since_ == 0) silent_since_ = now;
    // 0: hosts are not asked, and what failed is the data base.
    const double patience = job_.host_wait_seconds() > 0 ? job_.host_wait_seconds() : default_patience_seconds;
    if (now > silent_since_ + patience) {
      state_.code = static_cast<int>(ExitCode::peer_lost);
      return finish(JobPhase::failed, fmt::format("{}, for {:.0f} s (host-wait)", silence_, patience));
    }
    tell_once("waiting: " + silence_);
    state_.next_start = 0;
    write_phase(JobPhase::pausing, silence_);
    while (asked_ == Ask::none && seconds_since_1970() < now + seconds_between_asking) turn(nullptr);
    return true;
  }

  bool write_phase(JobPhase phase, const std::string& reason) {
    state_.phase = phase;
    state_.reason = reason;
    // A full disk must not end a job that trains elsewhere.
    try {
      folder_.write(state_);
    } catch (const Error& error) {
      log::warning("the state '{}' is not recorded: {}", to_text(phase), error.what());
      return false;
    }
    return true;
  }

  bool finish(JobPhase phase, const std::string& reason) {
    state_.ended = seconds_since_1970();
    // An end that nobody knows of would be taken for a loss, and the job started again.
    for (int tries = 0; !write_phase(phase, reason) && tries < tries_to_record; ++tries) ::sleep(seconds_between_looks);
    note(fmt::format("{}{}{}", to_text(phase), reason.empty() ? "" : ": ", reason));
    return false;
  }

  /// Another runner goes on: the one that the agent starts, or after this machine was started again the one of the next
  /// command.
  bool leave(const std::string& saved) {
    state_.next_start = seconds_since_1970();
    write_phase(JobPhase::pausing, "a signal to its runner: " + saved);
    note(state_.reason);
    return false;
  }

  /// A line of the runner in the job's output.
  void note(const std::string& text) {
    log::info("{}", text);
    put(fmt::format("== job {}, {}: {}\n", folder_.id(), date_and_time(), text));
  }

  void put(std::string_view text) {
    if (output_ < 0)
      output_ = ::open(folder_.file("output.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    // A full disk must not end a job; the ranks' own files have the lines, or say why not.
    if (output_ >= 0 && ::write(output_, text.data(), text.size()) < 0 && !complained_) {
      complained_ = true;
      log::warning("cannot write '{}': {}", folder_.file("output.log"), std::strerror(errno));
    }
  }

  /// One start: the exit code of `trireme launch`.
  int start() {
    ++state_.starts;
    told_.clear();
    state_.started = seconds_since_1970();
    write_phase(JobPhase::running, "");
    note(fmt::format("start {}, {}", state_.starts, after_step(newest_checkpoint(job_.run_folder()))));
    std::vector<std::string> command = {own_program()};
    const JobPlace place{.folder = folder_.path(), .trireme = command[0], .id = folder_.id()};
    JobDescription placed = job_;
    if (!place_.hosts.empty()) {
      placed.hosts = place_.hosts;
      placed.nodes = static_cast<std::int64_t>(read_hosts(place_.hosts).size());
    }
    if (placed.nodes < job_.nodes) note(fmt::format("on {} of {} hosts: {}", placed.nodes, job_.nodes, placed.hosts));
    for (std::string& word : launch_words(placed, place, state_.starts)) command.push_back(std::move(word));
    if (ranks_lock_) ranks_lock_->let_inherit();
    Child child({.command = command, .group = ChildGroup::own, .death_signal = SIGTERM});
    // From here on it is the child's alone: this process would not see when the last of its holders is gone.
    ranks_lock_.reset();
    while (child.poll_status() == -1) turn(&child);
    while (take(child.output()) > 0) continue;
    while (take(child.error()) > 0) continue;
    const int status = child.poll_status();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  void turn(Child* child) {
    const int output = child == nullptr ? -1 : child->output(), error = child == nullptr ? -1 : child->error();
    pollfd waits[] = {{signals_, POLLIN, 0}, {output, POLLIN, 0}, {error, POLLIN, 0}};
    ::poll(waits, 3, turn_milliseconds);
    signalfd_siginfo signal{};
    while (::read(signals_, &signal, sizeof signal) == sizeof signal) {
      const int number = static_cast<int>(signal.ssi_signo);
      if (number == SIGUSR1 || (number == SIGTERM && at_slurm())) {
        warned_ = warned_ || number == SIGUSR1;
        ask(child, Ask::moved);
      } else if (number != SIGCHLD && number != SIGUSR2) {
        ask(child, Ask::signalled);
      }
    }
    if (child != nullptr && waits[1].revents != 0 && take(output) == 0) child->close_pipe(output);
    if (child != nullptr && waits[2].revents != 0 && take(error) == 0) child->close_pipe(error);
    for (const int asked = folder_.asked_to_end(); heard_ < asked; ++heard_) ask(child, Ask::cancelled);
    if (asked_ == Ask::none && deadline_ > 0 && seconds_since_1970() > deadline_) ask(child, Ask::out_of_time);
    if (child != nullptr) keep_description();
    if (!at_slurm()) keep_agent(folder_, next_agent_);
  }

  void ask(Child* child, Ask why) {
    if (asked_ == Ask::none) asked_ = folder_.asked_to_end() > 0 ? Ask::cancelled : why;
    if (child != nullptr) ::kill(child->id(), SIGTERM);
  }

  ssize_t take(int descriptor) {
    if (descriptor < 0) return 0;
    ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
    char bytes[1 << 16];
    const ssize_t got = ::read(descriptor, bytes, sizeof bytes);
    if (got > 0) put({bytes, static_cast<std::size_t>(got)});
    return got;
  }

  /// The run's folder is the program's to make; once it is there the job's description goes into it.
  void keep_description() {
    const std::string folder = job_.run_folder();
    if (kept_ || folder.empty() || !std::filesystem::exists(folder + "/config.ini")) return;
    kept_ = true;
    try {
      write_file_atomically(folder + "/job.ini", *folder_.text("job.ini"));
    } catch (const Error& error) {
      log::warning("{}", error.what());
    }
  }

  /// After a start that ended with `code`: whether another one follows.
  bool judge(int code) {
    state_.code = code;
    leave_out_lost_host();
    const std::int64_t step = newest_checkpoint(job_.run_folder());
    if (code == 0) return finish(JobPhase::done, "");
    const std::string saved =
        fmt::format("{}, {}", meaning_of_code(code), step < 0 ? "nothing saved" : "saved " + after_step(step));
    if (asked_ == Ask::cancelled) return finish(JobPhase::cancelled, saved);
    if (asked_ == Ask::signalled && !at_slurm()) return leave(saved);
    if (asked_ == Ask::signalled) return finish(JobPhase::cancelled, "a signal to its runner: " + saved);
    if (asked_ == Ask::out_of_time) return finish(JobPhase::cancelled, "its time limit: " + saved);
    if (asked_ == Ask::moved) return at_slurm() ? requeue(saved) : leave(saved);
    const Decision next = after_attempt(
        job_.restart_rules(), {.code = code, .time = seconds_since_1970(), .newest_step = step}, state_.history);
    if (next.next == Decision::Next::failed) {
      state_.code = next.code;
      return finish(JobPhase::failed, next.reason);
    }
    // No start in this place can go on: one of its hosts is gone, and Slurm gives another instead of it.
    if (at_slurm() && lost_host()) return requeue(fmt::format("a host was lost: {}", saved));
    return pause(next);
  }

  std::optional<std::string> lost_host() const {
    const auto verdict = read_verdict(fmt::format("{}/start-{}", folder_.path(), state_.starts));
    if (!verdict || verdict->kind != Verdict::Kind::lost) return std::nullopt;
    return verdict->host;
  }

  /// Where ranks of others ended the start, its host may well be there: it is asked before the next one.
  void leave_out_lost_host() {
    const auto host = lost_host();
    const bool judged = state_.code == static_cast<int>(ExitCode::peer_lost);
    if (job_.backend != Backend::hosts || !judged || !host || host->empty()) return;
    try {
      SpareHosts(folder_, job_).leave_out(*host);
    } catch (const Error& error) {
      log::warning("{} is not left out: {}", *host, error.what());
    }
  }

  bool pause(const Decision& next) {
    state_.next_start = seconds_since_1970() + next.delay;
    write_phase(JobPhase::pausing, next.reason);
    note(fmt::format("{}; starting again in {:.0f} s", next.reason, next.delay));
    return wait_for_next_start();
  }

  bool wait_for_next_start() {
    while (asked_ == Ask::none && seconds_since_1970() < state_.next_start) turn(nullptr);
    return asked_ == Ask::none || judge_pause();
  }

  /// Asked to end while no ranks ran.
  bool judge_pause() {
    if (asked_ == Ask::moved && at_slurm()) return requeue(state_.reason);
    const bool goes_on = asked_ == Ask::moved || asked_ == Ask::signalled;
    if (goes_on && !at_slurm()) return false;
    const char* when = state_.starts == 0 ? "before its start" : "between two starts";
    return finish(JobPhase::cancelled, asked_ == Ask::out_of_time ? fmt::format("its time limit, {}", when) : when);
  }

  /// Slurm ends this start for its time or for another job, or it has lost a host; asked to, it starts the job again
  /// later. Where Slurm has ended it already, for a node that went down or without a warning, whether it starts again
  /// is Slurm's to say: one that its user cancelled there does not.
  bool requeue(const std::string& saved) {
    const char* id = std::getenv("SLURM_JOB_ID");
    if (id == nullptr) return finish(JobPhase::cancelled, "a signal to its runner: " + saved);
    const bool told_to_end = asked_ == Ask::moved && !warned_;
    if (told_to_end && ask_slurm(id).state != "RUNNING") {
      write_phase(JobPhase::requeued, "Slurm ended it: " + saved);
      note(state_.reason);
      return false;
    }
    write_phase(JobPhase::requeued, saved);
    note("requeued: " + saved);
    try {
      requeue_slurm_job(id);
    } catch (const Error& error) {
      // Slurm may have seen the loss first and queued the job by itself: failed now, that start would do nothing.
      if (ask_slurm(id).state == "RUNNING") return finish(JobPhase::failed, error.what());
      note(fmt::format("{}; it runs no more, so Slurm says whether it starts again", error.what()));
    }
    return false;
  }

  /// Slurm ends the script of a job that it has requeued; ending before that would look like the end of the job.
  int wait_for_slurm() {
    const double end = seconds_since_1970() + 60;
    for (bool told = false; !told && seconds_since_1970() < end;) {
      pollfd wait{signals_, POLLIN, 0};
      ::poll(&wait, 1, 1000);
      signalfd_siginfo signal{};
      while (::read(signals_, &signal, sizeof signal) == sizeof signal) told = told || signal.ssi_signo == SIGTERM;
    }
    return static_cast<int>(ExitCode::resume_me);
  }

  JobFolder folder_;
  JobDescription job_;
  JobState state_;
  int signals_ = -1, output_ = -1;
  double deadline_ = 0, next_look_ = 0, next_agent_ = 0;
  double silent_since_ = 0;  ///< 0: its hosts answered.
  std::string silence_;      ///< Of which hosts; empty: they answered.
  std::set<std::string> told_;
  int heard_ = 0;
  JobPlacement place_;
  std::optional<JobDatabase> queue_;
  std::optional<RanksLock> ranks_lock_;
  Ask asked_ = Ask::none;
  bool warned_ = false, kept_ = false, complained_ = false;
};

}  // namespace

std::int64_t newest_checkpoint(const std::string& run_folder) {
  if (run_folder.empty()) return -1;
  try {
    const auto known = CheckpointStore(run_folder + "/checkpoints").list();
    return known.empty() ? -1 : known.back().step;
  } catch (const Error&) {
    return -1;
  }
}

int job_run_command(std::span<const std::string> args) {
  CommandLine line({.name = "trireme job-run", .summary = "Runs a submitted job; started by `trireme submit`."},
                   {.words = "FOLDER", .description = "of the job"});
  const auto operands = line.parse(args);
  if (!operands) return 0;
  const JobFolder folder = job_folder_at(operands->front(), "job-run");
  if (const auto other = folder.runner()) {
    // Its agent and a command may both have seen that nobody ran it.
    log::info("job {} is run by {} already", folder.id(), *other);
    return 0;
  }
  const RunLock lock(folder.path(), fmt::format("{}", folder.id()));
  return JobRunner(folder).run();
}

}  // namespace trireme
