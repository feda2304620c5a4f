// The record of a job that hung, written into its log folder: hang.json with the verdict and of every rank its state,
// last calls and stacks; verdict.json with the verdict alone, for who starts the job again.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "launcher/job/watchdog.hpp"

namespace trireme {

class HangReport {
 public:
  explicit HangReport(Verdict verdict) : verdict_(std::move(verdict)) {}

  const Verdict& verdict() const { return verdict_; }
  /// What a rank's wrapper sent, in pieces: `text` is appended.
  void part(int rank, const std::string& text) { parts_[rank] += text; }
  void whole(int rank, const std::string& text);
  int reports() const { return static_cast<int>(ranks_.size()); }
  /// The first call of a communicator that is not the same on all ranks that kept it; empty where there is none.
  std::string first_difference() const;
  /// `watchdog` knows of ranks that sent nothing. Returns the path. Throws Error(storage).
  std::string write(const std::string& folder, const Watchdog& watchdog, int ranks) const;

 private:
  Verdict verdict_;
  std::map<int, std::string> parts_;
  std::map<int, Json> ranks_;
};

void write_verdict(const std::string& folder, const Verdict& verdict);
/// Of a start whose logs lie in `folder`; nothing where there was none.
std::optional<Verdict> read_verdict(const std::string& folder);

}  // namespace trireme
