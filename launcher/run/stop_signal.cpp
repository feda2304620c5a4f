#include "launcher/run/stop_signal.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/base/error.hpp"

namespace trireme {
namespace {

std::atomic<int> received = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may not wait for a lock");

void note(int signal) {
  int none = 0;
  if (received.compare_exchange_strong(none, signal) || signal != SIGINT) return;
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGINT, &usual, nullptr);
  // Blocked until this handler returns, and then deadly.
  ::raise(SIGINT);
}

}  // namespace

int stop_signal() { return received.load(); }

StopSignals::StopSignals() {
  received = 0;
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
    Former former{.signal = signal, .action = {}};
    struct sigaction ours {};
    ours.sa_handler = note;
    ours.sa_flags = SA_RESTART;
    sigemptyset(&ours.sa_mask);
    if (::sigaction(signal, nullptr, &former.action) != 0) {
      fail(ExitCode::failure, "cannot ask for the handler of signal {}: {}", signal, std::strerror(errno));
    }
    // A shell starts background jobs with SIGINT ignored, so that Ctrl-C for the one in front spares them.
    if (signal == SIGINT && former.action.sa_handler == SIG_IGN) continue;
    if (::sigaction(signal, &ours, nullptr) != 0) {
      fail(ExitCode::failure, "cannot catch signal {}: {}", signal, std::strerror(errno));
    }
    former_.push_back(former);
  }
}

StopSignals::~StopSignals() {
  for (const Former& former : former_) ::sigaction(former.signal, &former.action, nullptr);
}

}  // namespace trireme
