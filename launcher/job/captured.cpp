#include "launcher/job/captured.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "launcher/job/child.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 20;
constexpr int out_of_time = 124;

/// False at the end of the stream.
bool take(int descriptor, std::string& text) {
  char bytes[1 << 14];
  const ssize_t got = ::read(descriptor, bytes, sizeof bytes);
  if (got > 0 && text.size() < most_bytes) text.append(bytes, static_cast<std::size_t>(got));
  return got != 0;
}

}  // namespace

Captured captured(const std::vector<std::string>& command, double seconds) {
  using Clock = std::chrono::steady_clock;
  Child child({.command = command, .group = ChildGroup::own, .death_signal = SIGKILL});
  Captured out;
  for (const int pipe : {child.output(), child.error()}) ::fcntl(pipe, F_SETFL, O_NONBLOCK);
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  bool late = false;
  while (child.output() >= 0 || child.error() >= 0 || child.poll_status() == -1) {
    pollfd waits[] = {{child.output(), POLLIN, 0}, {child.error(), POLLIN, 0}};
    ::poll(waits, 2, 20);
    if (waits[0].revents != 0 && !take(child.output(), out.output)) child.close_pipe(child.output());
    if (waits[1].revents != 0 && !take(child.error(), out.error)) child.close_pipe(child.error());
    if (!late && Clock::now() > end) {
      late = true;
      ::kill(-child.id(), SIGKILL);
    }
    // What it left running keeps the pipes open.
    if (late && child.poll_status() != -1) break;
  }
  const int status = child.poll_status();
  out.code = late ? out_of_time : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return out;
}

}  // namespace trireme
