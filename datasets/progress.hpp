// How far a long job is, on standard error: on a terminal one bar that is drawn over, elsewhere a plain line every few
// seconds and one at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace trireme {

class Progress {
 public:
  /// `unit` is what is counted, in the plural ("samples").
  Progress(std::string label, std::int64_t total, std::string unit = "samples");
  /// Ends the bar's line; a job that failed leaves it where it was.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::int64_t count);

 private:
  using Clock = std::chrono::steady_clock;
  void show() const;

  std::string label_, unit_;
  std::int64_t total_, done_ = 0;
  bool terminal_, drawn_ = false;
  Clock::time_point shown_ = Clock::now();
};

}  // namespace trireme
