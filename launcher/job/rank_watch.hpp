// The wrapper's eye on its rank: makes the progress page that the program inherits, looks at it and at /proc, and
// gathers calls and stacks when the job hangs. Nothing here waits for the rank, which may be stopped or dead.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "launcher/job/rank_sample.hpp"

namespace trireme {

class RankWatch {
 public:
  /// Names the page in this process' environment, for the child that follows. Where there is no memory for one, only
  /// the state of the process is seen.
  explicit RankWatch(std::string host);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  RankSample look(pid_t child);
  /// Calls and stacks as JSON. Takes at most two seconds; a rank that is stopped goes on for it, as it is about to be
  /// ended.
  Json report(pid_t child);

 private:
  pid_t program(pid_t child) const;
  void ask_for_stacks(pid_t process) const;
  std::string stack_text() const;
  Json threads(pid_t process, const std::string& stacks) const;

  std::string host_;
  int page_file_ = -1, stack_file_ = -1;
  ProgressPage* page_ = nullptr;
  std::uint64_t beats_ = 0;
  double processor_ = 0;      // CPU time at that moment
  std::int64_t changed_ = 0;  // when the signs of life were last seen to grow
};

/// The names of the columns of "calls" in a report.
std::vector<std::string> call_columns();

}  // namespace trireme
