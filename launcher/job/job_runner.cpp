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

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/job_plan.hpp"
#include "launcher/job/rank_end.hpp"
#include "launcher/job/slurm.hpp"
#include "launcher/job/spare_hosts.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "launcher/run/run_lock.hpp"

extern char** environ;

namespace trireme {
namespace {

constexpr int turn_milliseconds = 200;

std::string host_name() {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  return host;
}

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
    state_.host = host_name();
    state_.process = ::getpid();
    signals_ = open_signals();
    bool go_on = take_over();
    while (go_on) go_on = judge(start());
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
    if (job_.seconds_allowed() > 0 && !at_slurm()) deadline_ = seconds_since_1970() + job_.seconds_allowed();
  }

  bool at_slurm() const { return job_.backend == Backend::slurm; }

  /// An earlier runner that left the job running was killed, or its host was lost.
  bool take_over() {
    if (folder_.asked_to_end()) return finish(JobPhase::cancelled, "before its start");
    if (state_.phase != JobPhase::running) return true;
    log::warning("an earlier runner of the job was lost while it ran");
    return judge(static_cast<int>(ExitCode::peer_lost));
  }

  void write_phase(JobPhase phase, const std::string& reason) {
    state_.phase = phase;
    state_.reason = reason;
    // A full disk must not end a job that trains elsewhere.
    try {
      folder_.write(state_);
    } catch (const Error& error) {
      log::warning("the state '{}' is not recorded: {}", to_text(phase), error.what());
    }
  }

  bool finish(JobPhase phase, const std::string& reason) {
    state_.ended = seconds_since_1970();
    write_phase(phase, reason);
    note(fmt::format("{}{}{}", to_text(phase), reason.empty() ? "" : ": ", reason));
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
    state_.started = seconds_since_1970();
    write_phase(JobPhase::running, "");
    note(fmt::format("start {}, {}", state_.starts, after_step(newest_checkpoint(job_.run_folder()))));
    std::vector<std::string> command = {std::filesystem::read_symlink("/proc/self/exe").string()};
    const JobPlace place{.folder = folder_.path(), .trireme = command[0], .id = folder_.id()};
    const JobDescription now = on_remaining_hosts(job_, folder_.path(), state_.starts);
    if (now.nodes < job_.nodes) note(fmt::format("on {} of {} hosts: {}", now.nodes, job_.nodes, now.hosts));
    for (std::string& word : launch_words(now, place, state_.starts)) command.push_back(std::move(word));
    Child child({.command = command, .group = ChildGroup::own, .death_signal = SIGTERM});
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
    if (asked_ == Ask::none && folder_.asked_to_end()) ask(child, Ask::cancelled);
    if (asked_ == Ask::none && deadline_ > 0 && seconds_since_1970() > deadline_) ask(child, Ask::out_of_time);
    if (child != nullptr) keep_description();
  }

  void ask(Child* child, Ask why) {
    if (asked_ == Ask::none) asked_ = folder_.asked_to_end() ? Ask::cancelled : why;
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
    const std::int64_t step = newest_checkpoint(job_.run_folder());
    if (code == 0) return finish(JobPhase::done, "");
    const std::string saved =
        fmt::format("{}, {}", meaning_of_code(code), step < 0 ? "nothing saved" : "saved " + after_step(step));
    if (asked_ == Ask::cancelled) return finish(JobPhase::cancelled, saved);
    if (asked_ == Ask::signalled) return finish(JobPhase::cancelled, "a signal to its runner: " + saved);
    if (asked_ == Ask::out_of_time) return finish(JobPhase::cancelled, "its time limit: " + saved);
    if (asked_ == Ask::moved)
      return at_slurm() ? requeue(saved) : finish(JobPhase::cancelled, "a signal to its runner: " + saved);
    const Decision next = after_attempt(
        job_.restart_rules(), {.code = code, .time = seconds_since_1970(), .newest_step = step}, state_.history);
    if (next.next == Decision::Next::failed) {
      state_.code = next.code;
      return finish(JobPhase::failed, next.reason);
    }
    return pause(next);
  }

  bool pause(const Decision& next) {
    state_.next_start = seconds_since_1970() + next.delay;
    write_phase(JobPhase::pausing, next.reason);
    note(fmt::format("{}; starting again in {:.0f} s", next.reason, next.delay));
    while (asked_ == Ask::none && seconds_since_1970() < state_.next_start) turn(nullptr);
    if (asked_ == Ask::none) return true;
    return judge_pause();
  }

  bool judge_pause() {
    if (asked_ == Ask::moved && at_slurm()) return requeue(state_.reason);
    return finish(JobPhase::cancelled, "between two starts");
  }

  /// Slurm ends this start for its time or for another job; asked to, it starts the job again later. One that its user
  /// cancelled there stays so.
  bool requeue(const std::string& saved) {
    const char* id = std::getenv("SLURM_JOB_ID");
    if (id == nullptr) return finish(JobPhase::cancelled, "a signal to its runner: " + saved);
    if (!warned_ && ask_slurm(id).state != "RUNNING") return finish(JobPhase::cancelled, "Slurm ended it: " + saved);
    write_phase(JobPhase::requeued, saved);
    note("requeued: " + saved);
    try {
      requeue_slurm_job(id);
    } catch (const Error& error) {
      return finish(JobPhase::failed, error.what());
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
  double deadline_ = 0;
  Ask asked_ = Ask::none;
  bool warned_ = false, kept_ = false, complained_ = false;
};

/// FOLDER's last part is the job's number.
JobFolder folder_of(const std::string& path) {
  const std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
  const std::int64_t id = std::atoll(clean.filename().c_str());
  if (id < 1 || !std::filesystem::exists(clean / "job.ini")) {
    fail(ExitCode::usage, "trireme job-run: '{}' is no folder of a job; start jobs with trireme submit", path);
  }
  return {clean.string(), id};
}

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
  const JobFolder folder = folder_of(operands->front());
  if (const auto other = folder.runner()) {
    fail(ExitCode::usage, "job {} is run by {} already", folder.id(), *other);
  }
  const RunLock lock(folder.path(), fmt::format("{}", folder.id()));
  return JobRunner(folder).run();
}

void start_detached(const std::vector<std::string>& words, const std::vector<std::string>& variables,
                    const std::string& log) {
  std::vector<std::string> values;
  for (const std::string& name : variables) {
    if (const char* value = std::getenv(name.c_str())) values.push_back(name + "=" + value);
  }
  std::vector<char*> arguments, environment;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& value : values) environment.push_back(const_cast<char*>(value.c_str()));
  arguments.push_back(nullptr);
  environment.push_back(nullptr);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (output < 0 || input < 0) fail(ExitCode::storage, "cannot open '{}': {}", log, std::strerror(errno));
  const pid_t first = ::fork();
  if (first < 0) fail(ExitCode::failure, "cannot start a process: {}", std::strerror(errno));
  if (first == 0) {
    ::setsid();
    // The second one has init as its parent and can never get a terminal.
    if (::fork() != 0) ::_exit(0);
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::signal(SIGPIPE, SIG_DFL);
    ::execve(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  ::waitpid(first, nullptr, 0);
  ::close(output);
  ::close(input);
}

}  // namespace trireme
