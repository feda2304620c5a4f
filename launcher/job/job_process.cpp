#include "launcher/job/job_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"

extern char** environ;

namespace trireme {

std::string own_program() {
  const std::string gone = " (deleted)";
  std::string path = std::filesystem::read_symlink("/proc/self/exe").string();
  if (path.ends_with(gone)) path.resize(path.size() - gone.size());
  return path;
}

std::vector<std::string> own_variables() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    names.push_back(text.substr(0, text.find('=')));
  }
  return names;
}

JobFolder job_folder_at(const std::string& path, const std::string& command) {
  const std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
  const std::int64_t id = std::atoll(clean.filename().c_str());
  if (id < 1 || !std::filesystem::exists(clean / "job.ini")) {
    fail(ExitCode::usage, "trireme {}: '{}' is no folder of a job; start jobs with trireme submit", command, path);
  }
  return {clean.string(), id};
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
    // A runner has the stop signals blocked, which would pass on to an agent that knows nothing of them.
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  ::waitpid(first, nullptr, 0);
  ::close(output);
  ::close(input);
}

}  // namespace trireme
