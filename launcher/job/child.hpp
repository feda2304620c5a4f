// A child process with pipes for its output, and signals taken as readable events instead of interrupts. Used by the
// launcher (child: mpirun) and by the wrapper around a rank (child: the program). Both have one thread.
#pragma once

#include <sys/types.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace trireme {

/// Where a child stands when a signal goes to a whole group of processes.
enum class ChildGroup { own, shared };

struct ChildSettings {
  std::vector<std::string> command;
  ChildGroup group = ChildGroup::shared;
  int death_signal = 0;  // sent to the child when this process dies, whatever kills it
  int input = -1;        // what the child reads as its standard input; -1: what this process does
};

class Child {
 public:
  /// Starts it; an Error with ExitCode::usage where the program cannot be run.
  explicit Child(const ChildSettings& settings);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t id() const { return id_; }
  int output() const { return output_; }
  int error() const { return error_; }
  /// The wait status once it has ended; -1 while it runs.
  int poll_status();
  void close_pipe(int descriptor);

 private:
  pid_t id_ = -1;
  int output_ = -1, error_ = -1;
  int status_ = -1;
};

/// Blocks the stop signals, SIGCHLD and `more`, ignores SIGPIPE; a descriptor that yields one signalfd_siginfo per
/// signal. A Child starts with the usual signals again.
int open_signals(std::initializer_list<int> more = {});

/// The path execvp would run for `program`; empty where there is none.
std::string find_program(const std::string& program);

/// `arguments` as one line that a POSIX shell reads back word for word.
std::string shell_quoted(const std::vector<std::string>& arguments);

}  // namespace trireme
