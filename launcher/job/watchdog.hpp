// Decides from what is heard of the ranks whether the job hangs, and who is to blame. Pure: told what was heard and
// when, it starts nothing and asks nobody. A rank that waits for others is never blamed for waiting; who is blamed has
// shown no sign of life for the time-out of its phase.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/job/rank_sample.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

/// Seconds; 0: off.
struct WatchLimits {
  double hang = 300, start = 600, checkpoint = 1800, validation = 600, lost = 10;

  void declare(OptionGroup& group);
  double of(const std::string& phase) const;
  /// "--hang-timeout=3" and so on, of those that are not the default.
  std::vector<std::string> words() const;
};

struct Verdict {
  enum class Kind { stopped, stuck, mismatch, lost };
  Kind kind = Kind::stuck;
  int code = 0;
  int rank = -1;
  std::string host = {};
  std::string text = {};  // one line: who, where, in what
};

std::string name_of(Verdict::Kind kind);
Json to_json(const Verdict& verdict);

class Watchdog {
 public:
  struct Setup {
    int ranks = 1;
    std::string own_host = {};
    WatchLimits limits = {};
  };
  explicit Watchdog(Setup setup) : setup_(std::move(setup)) {}

  void heard(int rank, const RankSample& sample, double now);
  /// Its program has ended, whatever its code.
  void ended(int rank);
  /// To be asked a few times a second. Where that was not done for a while (a stopped launcher, a terminal that takes
  /// no output) nothing that was missed meanwhile is held against the ranks.
  std::optional<Verdict> judge(double now);
  /// Of a job that ended for another reason: a host of which all ranks vanished while others' endings were heard.
  std::optional<Verdict> vanished_host() const;
  /// A line for each rank that the others kept waiting for.
  std::vector<std::string> stragglers() const;
  /// The last sample of each rank.
  const RankSample* sample(int rank) const;

 private:
  struct Seen {
    RankSample sample;
    double at = 0;             // when it was heard
    double stopped_since = 0;  // 0: it runs
    bool ended = false;
    double waited = 0, lived = 0;  // at the start of the present window
  };
  struct Waits {
    int windows = 0;
    double others = 0, own = 0;  // shares of time, added up
  };

  double still(const Seen& seen, double now) const;
  double limit(const Seen& seen) const;
  bool overdue(const Seen& seen, double now) const;
  std::optional<Verdict> judge_hosts(double now) const;
  std::optional<Verdict> judge_silence(double now) const;
  std::optional<Verdict> judge_stopped(double now) const;
  std::optional<Verdict> judge_stuck(double now) const;
  std::optional<Verdict> judge_calls(double now) const;
  Verdict blame(Verdict::Kind kind, int rank, const std::string& what) const;
  std::string waiting_for(int rank) const;
  std::string calls_text() const;
  bool calls_differ() const;
  void measure_waits(double now);

  Setup setup_;
  std::map<int, Seen> seen_;
  double last_judged_ = -1, listening_since_ = -1, window_began_ = -1;
  int windows_ = 0;
  std::map<int, Waits> waits_;
};

}  // namespace trireme
