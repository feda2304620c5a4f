// How a rank ended, as its wrapper saw it, and which of many endings was the cause of the others.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace trireme {

struct RankEnd {
  int rank = 0;
  std::string host = {};
  bool ended = false;         // false: started and never heard of again
  int exit_code = 0;          // where signal is 0
  int signal = 0;             // the signal that killed it, or 0
  double time = 0;            // seconds since 1970 by that host's clock
  bool told_to_stop = false;  // a stop signal had come before the end
  std::string last_error = {};

  bool asks_to_resume() const;
  /// Not stopped by anybody.
  bool failed_by_itself() const;
  bool failed() const { return !ended || exit_code != 0 || signal != 0; }
  /// The code of the rank as shells give it: 128 + signal where a signal killed it.
  int code() const;
};

std::string to_json_text(const RankEnd& end);
/// Nothing where `text` is no record (a half-written file).
std::optional<RankEnd> rank_end_from_json(const std::string& text);

/// The failure that came first by itself. Failures after a stop signal are consequences, and count only where there is
/// no other. Nothing where no rank failed.
std::optional<RankEnd> root_cause(const std::vector<RankEnd>& ends);

/// Whether the job saved its state and asks to be resumed (code 10): a rank says so, and none failed by itself in
/// another way. That others were stopped as it left means nothing then.
bool saved(const std::vector<RankEnd>& ends);

/// "exited with code 14 (storage)", "was killed by SIGKILL (9)", ...
std::string describe(const RankEnd& end);
/// Of an exit code as shells give it: "code 14 (storage)", "killed by SIGKILL".
std::string meaning_of_code(int code);
/// "SIGTERM" for 15.
std::string signal_name(int signal);

}  // namespace trireme
