// What the wrapper around a rank sees of it, once a second: process state, phase, step, signs of life, and the call
// that it is in. Travels to the launcher in a frame.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/progress_page.hpp"
#include "core/io/json.hpp"

namespace trireme {

/// A collective or message of a rank.
struct RankCall {
  std::string communicator = {}, operation = {}, dtype = {};
  std::uint64_t sequence = 0;
  std::int64_t count = 0;
  double seconds = 0;  // since it was made

  static RankCall of(const ProgressPage::Call& call, std::int64_t now);
  /// "all_reduce number 812 of world (f32 x 4096)".
  std::string text() const;
  friend bool operator==(const RankCall& a, const RankCall& b) {
    return a.communicator == b.communicator && a.operation == b.operation && a.dtype == b.dtype &&
           a.sequence == b.sequence && a.count == b.count;
  }
};

struct RankSample {
  std::string host = {};
  char state = '?';       // as in /proc/PID/stat: R, S, D, T, t, Z
  bool attached = false;  // its program writes a page
  std::string phase = {};
  std::int64_t step = -1;
  double still = 0;            // seconds without a sign of life
  bool waiting = false;        // the computing thread waits for others
  bool comparing = false;      // in the checked mode, inside the comparison that precedes a call
  double waited = 0;           // seconds spent waiting since the start
  double lived = 0;            // seconds since the start
  double processor = 0;        // seconds of CPU time
  double still_processor = 0;  // of these since the last sign of life
  std::uint64_t calls = 0;
  std::optional<RankCall> call = {};  // the oldest that is not finished

  bool stopped() const { return state == 'T' || state == 't'; }
  bool in_call() const { return waiting && call.has_value(); }
};

Json to_json(const RankSample& sample);
std::string to_text(const RankSample& sample);
/// Nothing where `text` is no sample.
std::optional<RankSample> sample_from_text(const std::string& text);

}  // namespace trireme
