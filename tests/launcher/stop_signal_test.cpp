// Stop signals leave a mark and end nothing, until somebody insists; handlers are put back afterwards.
#include "launcher/run/stop_signal.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

namespace trireme {
namespace {

/// How a process ends that runs `body` and then leaves with code 0: its exit code, or minus the signal.
template <class Body>
int end_of(const Body& body) {
  const pid_t id = ::fork();
  if (id == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(id, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(StopSignal, marks_the_first_and_goes_on) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
    const StopSignals signals;
    EXPECT_EQ(stop_signal(), 0);
    ::raise(signal);
    EXPECT_EQ(stop_signal(), signal);
  }
}

TEST(StopSignal, a_storm_changes_nothing) {
  const StopSignals signals;
  for (int k = 0; k < 1000; ++k) ::raise(k % 2 == 0 ? SIGTERM : SIGUSR1);
  EXPECT_EQ(stop_signal(), SIGTERM);
}

TEST(StopSignal, an_interrupt_after_a_request_ends_at_once) {
  for (const int first : {SIGINT, SIGTERM, SIGUSR1}) {
    EXPECT_EQ(end_of([&] {
                const StopSignals signals;
                ::raise(first);
                ::raise(SIGINT);
              }),
              -SIGINT);
  }
  EXPECT_EQ(end_of([] {
              const StopSignals signals;
              ::raise(SIGINT);
              ::raise(SIGTERM);
              ::raise(SIGUSR1);
            }),
            0);
}

TEST(StopSignal, former_handlers_come_back) {
  struct sigaction before {
  }, after{};
  ASSERT_EQ(::sigaction(SIGTERM, nullptr, &before), 0);
  { const StopSignals signals; }
  ASSERT_EQ(::sigaction(SIGTERM, nullptr, &after), 0);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  EXPECT_EQ(end_of([] {
              { const StopSignals signals; }
              ::raise(SIGTERM);
            }),
            -SIGTERM);
}

TEST(StopSignal, background_jobs_keep_ignoring_interrupts) {
  EXPECT_EQ(end_of([] {
              ::signal(SIGINT, SIG_IGN);
              const StopSignals signals;
              ::raise(SIGINT);
              if (stop_signal() != 0) ::_exit(1);
              ::raise(SIGTERM);
              ::raise(SIGINT);
            }),
            0);
}

/// Whether a thread of this process sleeps in the kernel.
bool sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.substr(name_end + 2, 1) == "S";
}

TEST(StopSignal, calls_that_wait_go_on) {
  const StopSignals signals;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pthread_t reader = ::pthread_self();
  const pid_t reader_id = ::gettid();
  std::thread other([&] {
    while (!sleeps(reader_id)) ::usleep(100);
    ::pthread_kill(reader, SIGTERM);
    while (stop_signal() == 0) ::usleep(100);
    // A call that was cut short leaves read() now; one that goes on waits for the byte.
    while (!sleeps(reader_id)) ::usleep(100);
    EXPECT_EQ(::write(ends[1], "x", 1), 1);
  });
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 1) << std::strerror(errno);
  other.join();
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace trireme
