// The wrapper leads the process group of its rank. mpirun's own stop signals go to the group, so they reach program and
// wrapper alike; those that mpirun only passes on go to the wrapper (launch_plan.cpp asks for that), which hands them
// to the group. It outlives a stop signal until the program has ended, and when mpirun itself dies it ends the whole
// group: no process of the job remains.
#include "launcher/job/rank_exec.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "core/base/error.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/frames.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/job/rank_end.hpp"
#include "launcher/job/rank_watch.hpp"
#include "launcher/run/metrics.hpp"
#include "launcher/run/options.hpp"

namespace trireme {
namespace {

/// Sends frames in bites that the reader takes one by one: mpirun reads up to 4096 bytes at a time and mixes the ranks'
/// pieces, so a piece must be whole frames, which it is when the pipe was empty before it was written.
class FrameSender {
 public:
  explicit FrameSender(std::size_t most) : most_(most) {
    // mpirun may give standard output a pseudo terminal, whose fill level cannot be asked; standard error is a pipe.
    struct stat facts {};
    const bool pipe = ::fstat(STDERR_FILENO, &facts) == 0 && S_ISFIFO(facts.st_mode);
    channel_ = pipe ? STDERR_FILENO : STDOUT_FILENO;
  }

  void send(const Frame& frame) {
    for (const std::string& bytes : encode(frame, most_)) {
      if (buffer_.size() + bytes.size() > 4096) flush();
      buffer_ += bytes;
    }
  }

  void flush() {
    if (buffer_.empty()) return;
    wait_until_read();
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t done = ::write(channel_, rest.data(), rest.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) break;  // mpirun is gone: the log file has the text
      rest.remove_prefix(static_cast<std::size_t>(done));
    }
    buffer_.clear();
  }

 private:
  void wait_until_read() const {
    for (int tries = 0; tries < 20000; ++tries) {
      int waiting = 0;
      if (::ioctl(channel_, FIONREAD, &waiting) != 0 || waiting == 0) return;
      ::usleep(50);
    }
  }

  std::size_t most_;
  int channel_;
  std::string buffer_;
};

struct WrapperSettings {
  int rank = 0;
  std::string folder = ".";
  std::int64_t frame_bytes = max_frame_text;
  std::vector<std::string> command = {};
};

std::string without_erasers(std::string text) {
  const std::string eraser = "\x1b[K";
  while (text.starts_with(eraser)) text.erase(0, eraser.size());
  while (text.ends_with(eraser)) text.erase(text.size() - eraser.size());
  return text;
}

/// Blocked signals do not count, though sigwait and the like fetch such: shells block all for the moment of a fork.
bool catches(pid_t process, int signal) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigCgt:")) return (std::strtoull(line.c_str() + 7, nullptr, 16) >> (signal - 1) & 1) != 0;
  }
  return false;
}

/// The processes of this one's group, without itself.
std::vector<pid_t> rest_of_group() {
  std::vector<pid_t> members;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const pid_t process = std::atoi(entry->path().filename().c_str());
    if (process > 0 && process != ::getpid() && ::getpgid(process) == ::getpgrp()) members.push_back(process);
  }
  return members;
}

class RankWrapper {
 public:
  explicit RankWrapper(const WrapperSettings& settings)
      : rank_(settings.rank),
        folder_(settings.folder),
        command_(settings.command),
        shows_status_(terminal_columns(STDOUT_FILENO) > 0),
        sender_(static_cast<std::size_t>(settings.frame_bytes)) {
    end_.rank = rank_;
    end_.host = host_name();
  }

  int run() {
    open_files();
    const int signals = open_signals({SIGTSTP, SIGCONT, SIGABRT, SIGALRM});
    watch_.emplace(end_.host);
    try {
      Child child({.command = command_, .group = ChildGroup::shared, .death_signal = SIGKILL});
      sender_.send({FrameKind::started, rank_, ""});
      sender_.flush();
      while (child.poll_status() == -1) turn(child, signals);
      // A signal to the group may have ended the program before this process heard of it.
      take_signals(signals);
      while (take(child.output(), FrameKind::output) > 0) continue;
      while (take(child.error(), FrameKind::error) > 0) continue;
      const int status = child.poll_status();
      if (WIFSIGNALED(status)) end_.signal = WTERMSIG(status);
      if (WIFEXITED(status)) end_.exit_code = WEXITSTATUS(status);
    } catch (const Error& error) {
      line(FrameKind::error, error.what());
      end_.exit_code = static_cast<int>(error.code());
    }
    record_end();
    // Background processes that the program left behind; this process has the signal blocked.
    ::kill(0, SIGTERM);
    return end_.code();
  }

 private:
  struct Stream {
    std::string pending;
    std::string last_line;
  };

  void open_files() {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    const std::string path = fmt::format("{}/rank-{}.log", folder_, rank_);
    log_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log_ < 0) line(FrameKind::error, fmt::format("warning: no log file '{}': {}", path, std::strerror(errno)));
    write_status();
  }

  void turn(Child& child, int signals) {
    pollfd waits[] = {{signals, POLLIN, 0}, {child.output(), POLLIN, 0}, {child.error(), POLLIN, 0}};
    ::poll(waits, 3, 500);
    take_signals(signals);
    look_at(child.id());
    if (waits[1].revents != 0 && take(child.output(), FrameKind::output) == 0) child.close_pipe(child.output());
    if (waits[2].revents != 0 && take(child.error(), FrameKind::error) == 0) child.close_pipe(child.error());
    const bool mpirun_gone = stop_at_ != 0 && now() > stop_at_;
    if (mpirun_gone) ::kill(0, SIGKILL);
    sender_.flush();
  }

  /// Once a second, and at once where the rank has been stopped or goes on.
  void look_at(pid_t child) {
    if (report_wanted_) {
      report_wanted_ = false;
      send_report(child);
    }
    const double time = 1e-9 * static_cast<double>(monotonic_ns());  // a clock that is set must not silence the rank
    if (time < looked_at_ + 0.4) return;
    looked_at_ = time;
    const RankSample sample = watch_->look(child);
    if (time < told_at_ + 0.9 && sample.stopped() == told_stopped_) return;
    told_at_ = time;
    told_stopped_ = sample.stopped();
    sender_.send({FrameKind::watch, rank_, to_text(sample)});
  }

  /// Also into a file: the launcher may not wait for all of it.
  void send_report(pid_t child) {
    const std::string text = watch_->report(child).dump(-1, ' ', false, Json::error_handler_t::replace);
    sender_.send({FrameKind::report, rank_, text});
    sender_.flush();
    try {
      write_file_atomically(fmt::format("{}/rank-{}.hang.json", folder_, rank_), text + "\n");
    } catch (const Error& error) {
      sender_.send({FrameKind::error, rank_, fmt::format("warning: {}", error.what())});
    }
  }

  void take_signals(int signals) {
    signalfd_siginfo one{};
    while (::read(signals, &one, sizeof one) == sizeof one) {
      const int signal = static_cast<int>(one.ssi_signo);
      const bool own = one.ssi_pid == static_cast<std::uint32_t>(::getpid());
      if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) {
        on_stop(signal);
      } else if (signal == SIGUSR1) {
        ask_to_stop();
      } else if (signal == SIGALRM) {
        report_wanted_ = true;
      } else if (signal != SIGCHLD && !own) {
        ::kill(0, signal);
      }
    }
  }

  void on_stop(int signal) {
    end_.told_to_stop = true;
    if (signal != SIGHUP || stop_at_ != 0) return;
    // The death of mpirun reaches only this process: the others of the group are told here.
    ::kill(0, SIGTERM);
    stop_at_ = now() + 2;
  }

  /// SIGUSR1 asks to save and end. It would kill programs that do not know it: they are asked by SIGTERM, unless one
  /// of the group knows it (a shell that waits for the program does not).
  void ask_to_stop() {
    bool heard = false;
    for (const pid_t process : rest_of_group()) {
      if (catches(process, SIGUSR1) && ::kill(process, SIGUSR1) == 0) heard = true;
    }
    if (!heard && !end_.told_to_stop) ::kill(0, SIGTERM);
  }

  static double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  /// Reads once: the bytes taken, 0 at the end of the stream, -1 where nothing is there now.
  ssize_t take(int descriptor, FrameKind kind) {
    if (descriptor < 0) return 0;
    ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
    char bytes[1 << 14];
    const ssize_t got = ::read(descriptor, bytes, sizeof bytes);
    if (got > 0) feed(kind, std::string_view(bytes, static_cast<std::size_t>(got)));
    return got;
  }

  void feed(FrameKind kind, std::string_view bytes) {
    Stream& stream = stream_of(kind);
    for (std::size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
      stream.pending += bytes.substr(0, end);
      bytes.remove_prefix(end + 1);
      line(kind, visible(stream.pending));
      stream.pending.clear();
    }
    stream.pending += bytes;
    constexpr std::size_t longest = 1 << 20;
    if (stream.pending.size() > longest) {
      line(kind, stream.pending);
      stream.pending.clear();
    }
    if (stream.pending.find('\r') == std::string::npos) return;
    const bool returned = stream.pending.ends_with('\r');
    stream.pending = visible(stream.pending);
    if (shows_status_) sender_.send({FrameKind::status, rank_, stream.pending});
    if (returned) stream.pending += '\r';
  }

  /// What a terminal would show of a line with carriage returns: the text after the last one that has some.
  static std::string visible(std::string text) {
    while (text.ends_with('\r')) text.pop_back();
    const std::size_t at = text.rfind('\r');
    return without_erasers(at == std::string::npos ? text : text.substr(at + 1));
  }

  Stream& stream_of(FrameKind kind) { return kind == FrameKind::error ? error_ : output_; }

  void line(FrameKind kind, const std::string& text) {
    // Open MPI's trace of a crash begins each line so; it says less than the signal.
    const bool trace = text.starts_with(fmt::format("[{}:", end_.host));
    if (!text.empty() && !trace) note_last(kind, text);
    if (log_ >= 0) {
      try {
        write_all(log_, text + "\n", fmt::format("{}/rank-{}.log", folder_, rank_));
      } catch (const Error& error) {
        ::close(log_);
        log_ = -1;
        sender_.send({FrameKind::error, rank_, fmt::format("warning: the log file ends here: {}", error.what())});
      }
    }
    sender_.send({kind, rank_, text});
  }

  static bool speaks(const std::string& line) {
    return line.find("rror") != std::string::npos || line.find("ERROR") != std::string::npos;
  }

  /// The line to show as the cause: the last one that speaks of an error, else simply the last.
  void note_last(FrameKind kind, const std::string& text) {
    Stream& stream = stream_of(kind);
    if (speaks(text) || !speaks(stream.last_line)) stream.last_line = text.substr(0, 1000);
  }

  void record_end() {
    for (const FrameKind kind : {FrameKind::output, FrameKind::error}) {
      const std::string rest = visible(stream_of(kind).pending);
      if (!rest.empty()) line(kind, rest);
    }
    end_.ended = true;
    end_.time = now();
    // Who is killed from outside has not said why: what it wrote last is not the cause.
    const bool no_cause = end_.signal != 0 && !error_.last_line.empty() && !speaks(error_.last_line);
    end_.last_error = (no_cause ? "its last words were: " : "") + error_.last_line;
    if (end_.last_error.empty() && !output_.last_line.empty()) {
      end_.last_error = "its last output was: " + output_.last_line;
    }
    write_status();
    sender_.send({FrameKind::ended, rank_, to_json_text(end_)});
    sender_.flush();
  }

  void write_status() {
    try {
      write_file_atomically(fmt::format("{}/rank-{}.status", folder_, rank_), to_json_text(end_) + "\n");
    } catch (const Error& error) {
      // The last frame tells the same; a full disk must not hide how the rank ended.
      sender_.send({FrameKind::error, rank_, fmt::format("warning: {}", error.what())});
    }
  }

  int rank_;
  std::string folder_;
  std::vector<std::string> command_;
  bool shows_status_;
  FrameSender sender_;
  RankEnd end_;
  Stream output_, error_;
  int log_ = -1;
  double stop_at_ = 0;
  std::optional<RankWatch> watch_;
  double looked_at_ = 0, told_at_ = 0;
  bool told_stopped_ = false, report_wanted_ = false;
};

int own_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(variable)) return std::atoi(value);
  }
  return 0;
}

}  // namespace

int rank_exec_command(std::span<const std::string> args) {
  auto [before, command] = split_at_dashes({args.begin(), args.end()});
  WrapperSettings settings{.rank = own_rank(), .command = with_shown_colons(command)};
  OptionSet options({.name = "trireme rank-exec",
                     .summary = "Runs one rank's program; started by `trireme launch`.",
                     .sources = OptionSources::command_line_only});
  options.group("Output")
      .add("log-dir", &settings.folder, "folder of rank-N.log and rank-N.status")
      .add("frame-bytes", &settings.frame_bytes, "most bytes of a line that are sent as one piece",
           {.low = 100, .high = max_frame_text});
  if (options.parse(before) == ParseOutcome::exit_done) return 0;
  if (command.empty()) fail(ExitCode::usage, "trireme rank-exec: no program after --");
  if (::getpgrp() != ::getpid()) ::setpgid(0, 0);
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGHUP);
  if (::getppid() != parent) return static_cast<int>(ExitCode::peer_lost);
  return RankWrapper(settings).run();
}

}  // namespace trireme
