// mpirun runs in a process group of its own, so that Ctrl-C reaches it only as what is sent from here: SIGUSR1, and the
// one SIGTERM (two make it give up cleaning), upon which it kills the ranks a second later. When this process dies, the
// kernel sends mpirun the SIGTERM.
#include "launcher/job/supervise.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include "core/base/error.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/frames.hpp"
#include "launcher/job/hang_report.hpp"
#include "launcher/job/job_output.hpp"
#include "launcher/job/rank_end.hpp"

namespace trireme {
namespace {

/// mpirun cleans up in a few seconds or not at all.
constexpr double end_patience_seconds = 15;
/// mpirun's own words wait this long, so that the root cause can be named before them.
constexpr double hold_seconds = 5;
/// After a verdict: for the ranks' calls and stacks, and then for mpirun, which may wait for a host that is gone.
constexpr double report_seconds = 3;
constexpr double verdict_patience_seconds = 2.5;
/// `timeout` and some schedulers send a signal to the process and to its group: two at once are one request.
constexpr double same_request_seconds = 0.5;

class Supervisor {
 public:
  explicit Supervisor(const JobSettings& settings)
      : settings_(settings),
        output_({.ranks = settings.ranks, .terminal_columns = settings.terminal_columns}),
        watchdog_({.ranks = settings.ranks, .own_host = host_name(), .limits = settings.limits}) {}

  int run() {
    prepare_folder();
    const int signals = open_signals();
    Child child({.command = settings_.command, .group = ChildGroup::own, .death_signal = SIGTERM});
    started_ = steady_seconds();
    while (child.poll_status() == -1) turn(child, signals);
    while (take(child.output(), splitters_[0]) > 0) continue;
    while (take(child.error(), splitters_[1]) > 0) continue;
    for (LineSplitter& splitter : splitters_) {
      const std::string rest = splitter.rest();
      if (!rest.empty()) on_line(rest);
    }
    output_.finish();
    return close_job(child.poll_status());
  }

 private:
  enum class Stop { none, asked, ordered };
  struct Held {
    double time;
    std::string text;
  };

  void prepare_folder() {
    std::error_code error;
    std::filesystem::create_directories(settings_.log_folder, error);
    if (error) {
      fail(ExitCode::storage, "cannot make the folder '{}' for the ranks' logs: {}; choose another by --log-dir",
           settings_.log_folder, error.message());
    }
    // Records of an earlier job in the same folder would be taken for this one's.
    for (const auto& entry : std::filesystem::directory_iterator(settings_.log_folder)) {
      const std::string name = entry.path().filename().string();
      const bool of_rank = name.ends_with(".status") || name.ends_with(".log") || name.ends_with(".hang.json");
      const bool old = (name.starts_with("rank-") && of_rank) || name == "hang.json" || name == "verdict.json";
      if (old) std::filesystem::remove(entry.path(), error);
    }
    if (!settings_.hostfile.empty()) write_file_atomically(settings_.log_folder + "/hostfile", settings_.hostfile);
  }

  void turn(Child& child, int signals) {
    pollfd waits[] = {{signals, POLLIN, 0}, {child.output(), POLLIN, 0}, {child.error(), POLLIN, 0}};
    ::poll(waits, 3, 200);
    signalfd_siginfo signal{};
    while (::read(signals, &signal, sizeof signal) == sizeof signal) {
      on_signal(child, static_cast<int>(signal.ssi_signo));
    }
    if (waits[1].revents != 0 && take(child.output(), splitters_[0]) == 0) child.close_pipe(child.output());
    if (waits[2].revents != 0 && take(child.error(), splitters_[1]) == 0) child.close_pipe(child.error());
    check_clock(child);
  }

  void check_clock(Child& child) {
    const double time = steady_seconds();
    if (settings_.timeout_seconds > 0 && stop_ == Stop::none && time > started_ + settings_.timeout_seconds) {
      timed_out_ = true;
      ask(child);
    }
    if (stop_ == Stop::asked && time > stop_since_ + settings_.grace_seconds) {
      output_.say(fmt::format("trireme launch: the ranks did not end within {} s (--grace)", settings_.grace_seconds));
      order(child);
    }
    const double patience = hang_ ? verdict_patience_seconds : end_patience_seconds;
    if (stop_ == Stop::ordered && time > stop_since_ + patience) ::kill(-child.id(), SIGKILL);
    watch(child);
    while (!held_.empty() && time > held_.front().time + hold_seconds) {
      output_.say(held_.front().text);
      held_.erase(held_.begin());
    }
  }

  /// Names who hangs at once; ends the job when the ranks' reports are there, or will not come.
  void watch(Child& child) {
    if (!hang_) {
      const auto verdict = stop_ == Stop::ordered ? std::nullopt : watchdog_.judge(steady_seconds());
      if (!verdict) return;
      name_cause(verdict->text);
      hang_.emplace(*verdict);
      verdict_at_ = steady_seconds();
      ::kill(child.id(), SIGALRM);
    }
    const bool gathered = hang_->reports() + static_cast<int>(output_.ends().size()) >= settings_.ranks;
    // A host that is gone sends nothing; the others need no second.
    const double most = hang_->verdict().kind == Verdict::Kind::lost ? 1 : report_seconds;
    if (stop_ == Stop::ordered || (!gathered && steady_seconds() < verdict_at_ + most)) return;
    order(child);
  }

  /// mpirun passes SIGUSR1 on and kills nobody. Before all ranks run there is nothing to save, and mpirun may not yet
  /// catch it.
  void ask(Child& child) {
    if (settings_.grace_seconds <= 0 || output_.started() < settings_.ranks) return order(child);
    enter(Stop::asked);
    ::kill(child.id(), SIGUSR1);
    output_.say("trireme launch: stopping: asked the ranks to save and end (again to end at once)");
  }

  void order(Child& child) {
    enter(Stop::ordered);
    ::kill(child.id(), SIGTERM);
  }

  void enter(Stop stop) {
    stop_ = stop;
    stop_since_ = steady_seconds();
  }

  void on_signal(Child& child, int signal) {
    if (signal == SIGCHLD) return;
    if (signal == SIGUSR1 || signal == SIGUSR2) {
      ::kill(child.id(), signal);
      return;
    }
    const double time = steady_seconds();
    if (time < last_request_ + same_request_seconds) return;
    last_request_ = time;
    if (stopped_by_ == 0) stopped_by_ = signal;
    if (stop_ == Stop::none) return ask(child);
    if (stop_ == Stop::asked) {
      output_.say("trireme launch: asked again: ending the ranks at once");
      return order(child);
    }
    // The wrappers end their ranks when mpirun is gone.
    ::kill(-child.id(), SIGKILL);
  }

  ssize_t take(int descriptor, LineSplitter& splitter) {
    if (descriptor < 0) return 0;
    ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
    char bytes[1 << 16];
    const ssize_t got = ::read(descriptor, bytes, sizeof bytes);
    if (got > 0) {
      for (const std::string& line : splitter.feed({bytes, static_cast<std::size_t>(got)})) on_line(line);
    }
    return got;
  }

  void on_line(const std::string& line) {
    if (const auto frame = decode(line)) return take_frame(*frame);
    mpirun_words_ += line + "\n";
    held_.push_back({steady_seconds(), line});
  }

  void take_frame(const Frame& frame) {
    if (frame.kind == FrameKind::watch) {
      if (const auto sample = sample_from_text(frame.text)) watchdog_.heard(frame.rank, *sample, steady_seconds());
    } else if (frame.kind == FrameKind::report || frame.kind == FrameKind::report_part) {
      if (!hang_) return;
      frame.kind == FrameKind::report ? hang_->whole(frame.rank, frame.text) : hang_->part(frame.rank, frame.text);
    } else {
      if (frame.kind == FrameKind::ended) watchdog_.ended(frame.rank);
      output_.show(frame);
    }
  }

  /// Frames first; a frame lost with a dying mpirun may still have its file.
  std::vector<RankEnd> collect_ends() const {
    std::vector<RankEnd> ends;
    for (int rank = 0; rank < settings_.ranks; ++rank) {
      const auto known = output_.ends().find(rank);
      if (known != output_.ends().end()) {
        ends.push_back(known->second);
        continue;
      }
      const std::string path = fmt::format("{}/rank-{}.status", settings_.log_folder, rank);
      if (!std::filesystem::exists(path)) continue;
      if (auto end = rank_end_from_json(read_file(path))) ends.push_back(*end);
    }
    return ends;
  }

  int close_job(int status) {
    const int mpirun_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    write_mpirun_log();
    for (const std::string& line : watchdog_.stragglers()) output_.say("trireme launch: " + line);
    if (hang_) return with_way_back(hung());
    const std::vector<RankEnd> ends = collect_ends();
    if (saved(ends)) {
      output_.say("trireme launch: saved; start the same command again, with the same --run-dir, to go on");
      return static_cast<int>(ExitCode::resume_me);
    }
    if (stop_ != Stop::none && !ended_by_themselves(ends)) return stopped();
    if (mpirun_code == 0) {
      for (const Held& line : held_) output_.say(line.text);
      return 0;
    }
    return with_way_back(blame(mpirun_code, ends));
  }

  /// What brings a run back whose end another start may not meet again. A submitted job starts itself.
  int with_way_back(int exit_code) {
    const bool worth_it = exit_code == static_cast<int>(ExitCode::hang) || exit_code > 128 ||
                          exit_code == static_cast<int>(ExitCode::peer_lost) ||
                          exit_code == static_cast<int>(ExitCode::storage);
    if (worth_it && output_.started() == settings_.ranks && std::getenv("TRIREME_JOB") == nullptr)
      output_.say(
          "trireme launch: a training goes on from its newest checkpoint when the same command is started again, "
          "with the same --run-dir");
    return exit_code;
  }

  /// Of a job that was asked to end: all ranks were done just then, or one failed, perhaps because it could not save.
  bool ended_by_themselves(const std::vector<RankEnd>& ends) const {
    const auto failed = [](const RankEnd& end) {
      return end.failed_by_itself() && end.signal != SIGTERM && end.signal != SIGUSR1;
    };
    const auto done = [](const RankEnd& end) { return !end.failed() && !end.told_to_stop; };
    return std::any_of(ends.begin(), ends.end(), failed) ||
           (static_cast<int>(ends.size()) == settings_.ranks && std::all_of(ends.begin(), ends.end(), done));
  }

  int stopped() {
    if (!timed_out_) {
      output_.say(fmt::format("trireme launch: stopped by {}; all ranks have ended; logs: {}", signal_name(stopped_by_),
                              settings_.log_folder));
      return 128 + stopped_by_;
    }
    output_.say(fmt::format("trireme launch: the job did not end within {} s (--timeout) and was stopped; logs: {}",
                            settings_.timeout_seconds, settings_.log_folder));
    return static_cast<int>(ExitCode::hang);
  }

  int hung() {
    try {
      write_verdict(settings_.log_folder, hang_->verdict());
      const std::string difference = hang_->first_difference();
      if (!difference.empty())
        output_.say("trireme launch: the first call that is not the same on all ranks: " + difference);
      const std::string path = hang_->write(settings_.log_folder, watchdog_, settings_.ranks);
      output_.say("trireme launch: the job was ended; last calls and stacks of all ranks: " + path);
    } catch (const Error& error) {
      output_.say(fmt::format("trireme launch: warning: {}", error.what()));
    }
    return hang_->verdict().code;
  }

  /// Where mpirun noticed first that a host is gone.
  void name_lost_host() {
    const auto lost = watchdog_.vanished_host();
    if (!lost) return;
    output_.say("trireme launch: " + lost->text);
    try {
      write_verdict(settings_.log_folder, *lost);
    } catch (const Error& error) {
      output_.say(fmt::format("trireme launch: warning: {}", error.what()));
    }
  }

  int blame(int mpirun_code, const std::vector<RankEnd>& ends) {
    const auto cause = root_cause(ends);
    if (!cause || !cause->failed_by_itself()) name_lost_host();
    const bool consequence_only = cause && cause->ended && cause->told_to_stop && cause->signal == SIGTERM;
    if (!cause || consequence_only) {
      output_.say(fmt::format("trireme launch: mpirun ended with code {} and no rank failed by itself{}; it said:",
                              mpirun_code, cause ? early_leavers(ends) : ""));
      for (const Held& line : held_) output_.say(line.text);
      // Ranks that never ran are those of hosts that were not reached.
      return output_.started() < settings_.ranks ? static_cast<int>(ExitCode::peer_lost) : mpirun_code;
    }
    name_cause(fmt::format("rank {} on {} {}{}", cause->rank, cause->host, describe(*cause),
                           cause->last_error.empty() ? "" : ": " + cause->last_error));
    output_.say(fmt::format("trireme launch: ranks that failed or were stopped after it: {} of {}; logs: {}",
                            failures(ends) - 1, settings_.ranks, settings_.log_folder));
    return cause->code();
  }

  /// Also for who looks at the job later.
  void name_cause(const std::string& cause) {
    output_.say("trireme launch: root cause: " + cause);
    try {
      write_file_atomically(settings_.log_folder + "/cause.txt", cause + "\n");
    } catch (const Error& error) {
      output_.say(fmt::format("trireme launch: warning: {}", error.what()));
    }
  }

  /// A rank that leaves with code 0 while others still need it makes mpirun stop them.
  static std::string early_leavers(const std::vector<RankEnd>& ends) {
    std::string out;
    for (const RankEnd& end : ends) {
      if (end.failed()) continue;
      out += fmt::format("{}{}", out.empty() ? "; ended with code 0 before the others: rank " : ", ", end.rank);
    }
    return out;
  }

  static std::size_t failures(const std::vector<RankEnd>& ends) {
    std::size_t count = 0;
    for (const RankEnd& end : ends) count += end.failed() ? 1u : 0u;
    return count;
  }

  void write_mpirun_log() {
    if (mpirun_words_.empty()) return;
    try {
      write_file_atomically(settings_.log_folder + "/mpirun.log", mpirun_words_);
    } catch (const Error& error) {
      output_.say(fmt::format("trireme launch: warning: {}", error.what()));
    }
  }

  const JobSettings& settings_;
  JobOutput output_;
  LineSplitter splitters_[2];
  std::vector<Held> held_;
  std::string mpirun_words_;
  double started_ = 0, stop_since_ = 0, last_request_ = -same_request_seconds;
  Stop stop_ = Stop::none;
  bool timed_out_ = false;
  int stopped_by_ = 0;
  Watchdog watchdog_;
  std::optional<HangReport> hang_;
  double verdict_at_ = 0;
};

}  // namespace

int supervise(const JobSettings& settings) { return Supervisor(settings).run(); }

}  // namespace trireme
