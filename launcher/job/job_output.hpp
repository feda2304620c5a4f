// What the launcher shows of its ranks: every line whole and behind "[rank] ", and on a terminal the refreshed line of
// rank 0 always last, taken away and drawn again around the lines of others.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "launcher/job/frames.hpp"
#include "launcher/job/rank_end.hpp"

namespace trireme {

struct JobOutputSettings {
  int ranks = 1;
  int terminal_columns = 0;  // 0: lines only
  int output = 1;            // descriptors
  int error = 2;
};

class JobOutput {
 public:
  explicit JobOutput(JobOutputSettings settings) : settings_(settings) {}

  void show(const Frame& frame);
  /// A line of the launcher itself, to standard error.
  void say(const std::string& line);
  /// How many ranks' programs have been started.
  int started() const { return static_cast<int>(started_.size()); }
  /// Endings that came by frames, by rank.
  const std::map<int, RankEnd>& ends() const { return ends_; }
  /// Puts the cursor below the refreshed line.
  void finish();

 private:
  void line(int descriptor, const std::string& text);
  std::string prefix(int rank) const;
  void draw_status();

  JobOutputSettings settings_;
  std::map<std::pair<int, char>, std::string> parts_;
  std::set<int> started_;
  std::map<int, RankEnd> ends_;
  std::string status_;
};

}  // namespace trireme
