// fork and exec by hand: the pieces between them (group, death signal, signal mask) have no portable library.
#include "launcher/job/child.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/base/error.hpp"

namespace trireme {
namespace {

struct Pipe {
  int read_end = -1, write_end = -1;
};

Pipe open_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ExitCode::failure, "cannot open a pipe: {}", std::strerror(errno));
  return {ends[0], ends[1]};
}

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

/// Runs between fork and exec; reports a failure through `report` and never returns.
[[noreturn]] void become(const ChildSettings& settings, char* const* arguments, pid_t parent, int report) {
  if (settings.group == ChildGroup::own) ::setpgid(0, 0);
  if (settings.death_signal != 0) {
    ::prctl(PR_SET_PDEATHSIG, settings.death_signal);
    // The parent may have died before the call above.
    if (::getppid() != parent) ::_exit(1);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(arguments[0], arguments);
  const int error = errno;
  [[maybe_unused]] const ssize_t done = ::write(report, &error, sizeof error);
  ::_exit(127);
}

bool runnable(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Child::Child(const ChildSettings& settings) {
  std::vector<char*> arguments;
  for (const std::string& one : settings.command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  const Pipe output = open_pipe(), error = open_pipe(), report = open_pipe();
  const pid_t parent = ::getpid();
  id_ = ::fork();
  if (id_ < 0) fail(ExitCode::failure, "cannot start a process: {}", std::strerror(errno));
  if (id_ == 0) {
    if (settings.input >= 0) ::dup2(settings.input, STDIN_FILENO);
    ::dup2(output.write_end, STDOUT_FILENO);
    ::dup2(error.write_end, STDERR_FILENO);
    become(settings, arguments.data(), parent, report.write_end);
  }
  // Both sides set the group, so that it exists whoever runs first.
  if (settings.group == ChildGroup::own) ::setpgid(id_, id_);
  for (const int end : {output.write_end, error.write_end, report.write_end}) ::close(end);
  output_ = output.read_end;
  error_ = error.read_end;
  int reason = 0;
  const bool refused = ::read(report.read_end, &reason, sizeof reason) == sizeof reason;
  ::close(report.read_end);
  if (!refused) return;
  ::waitpid(id_, &status_, 0);
  fail(ExitCode::usage, "cannot run '{}': {}", settings.command[0], std::strerror(reason));
}

Child::~Child() {
  for (const int end : {output_, error_}) {
    if (end >= 0) ::close(end);
  }
}

int Child::poll_status() {
  if (status_ == -1) {
    int status = 0;
    if (::waitpid(id_, &status, WNOHANG) == id_) status_ = status;
  }
  return status_;
}

void Child::close_pipe(int descriptor) {
  ::close(descriptor);
  if (descriptor == output_) output_ = -1;
  if (descriptor == error_) error_ = -1;
}

int open_signals(std::initializer_list<int> more) {
  sigset_t set = watched_signals();
  for (const int signal : more) sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const int descriptor = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) fail(ExitCode::failure, "cannot watch signals: {}", std::strerror(errno));
  return descriptor;
}

std::string find_program(const std::string& program) {
  if (program.find('/') != std::string::npos) return runnable(program) ? program : "";
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + program;
    if (!program.empty() && runnable(candidate)) return candidate;
  }
  return "";
}

std::string shell_quoted(const std::vector<std::string>& arguments) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  std::string out;
  for (const std::string& one : arguments) {
    if (!out.empty()) out += ' ';
    if (!one.empty() && one.find_first_not_of(plain) == std::string::npos) {
      out += one;
      continue;
    }
    out += '\'';
    for (const char c : one) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += '\'';
  }
  return out;
}

}  // namespace trireme
