// A page of memory that shows what a rank does: phase, step, signs of life, and the last 2,000 calls of its
// CollectiveLog. The wrapper around the rank (`trireme rank-exec`) makes it and hands it over as two inherited
// descriptors; it reads the page at any time, also when the rank is stopped or dead. The rank writes relaxed atomics
// and makes no system call for it. Without a wrapper there is no page, and nothing is written. When asked by a signal,
// each thread of the rank writes its stack to the second descriptor.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/activity.hpp"

namespace trireme {

enum class Phase : std::uint32_t {
  none,
  start,
  data,
  forward,
  backward,
  communication,
  optimizer,
  checkpoint,
  validation,
  end,
  other
};

std::string_view name_of(Phase phase);
/// Of the texts of CollectiveLog::set_phase; `other` for those unknown here.
Phase phase_from(std::string_view text);

struct ProgressPage {
  static constexpr std::uint64_t form = 0x5452494d45303031;  // changes with the layout
  static constexpr std::size_t kept = 2000;
  static constexpr std::size_t name_words = 6;
  static constexpr const char* variable = "TRIREME_PROGRESS_PAGE";  // "PAGE,STACKS": descriptors

  /// A call as a reader sees it. Times are those of CLOCK_MONOTONIC in nanoseconds; 0: not yet.
  struct Call {
    std::uint64_t index = 0;     // counts all calls of the process from 0
    std::uint64_t sequence = 0;  // of its communicator
    std::string communicator = {};
    std::uint8_t kind = 0, dtype = 0, reduction = 0;
    std::int32_t root = 0;
    Phase phase = Phase::none;
    std::int64_t count = 0;
    std::int64_t queued = 0, started = 0, finished = 0;
  };

  std::atomic<std::uint64_t> magic{0};
  std::atomic<std::int64_t> process{0};  // that writes here; 0: none yet
  std::atomic<std::int64_t> attached_ns{0};
  std::atomic<std::uint32_t> phase{0};
  std::atomic<std::int64_t> step{-1};
  std::atomic<std::int32_t> stack_signal{0};  // that makes a thread write its stack; 0: none does
  std::atomic<std::uint64_t> stacks{0};       // written so far
  std::atomic<std::uint32_t> comparing{0};    // 1: inside the comparison that precedes a checked call
  std::atomic<std::uint64_t> calls{0};
  Activity activity;

  /// Called by one thread at a time.
  void record(const Call& call);
  void mark_started(std::uint64_t index, std::int64_t time);
  void mark_finished(std::uint64_t index, std::int64_t time);
  /// The kept calls, oldest first; one that is being written just now is left out.
  std::vector<Call> recent() const;

 private:
  struct Slot {
    std::atomic<std::uint64_t> stamp{0};  // index + 1; 0 while it is written
    std::atomic<std::uint64_t> sequence{0};
    std::array<std::atomic<std::uint64_t>, name_words> name{};
    std::atomic<std::uint64_t> what{0};  // kind, dtype, reduction, phase, a byte each; then the root
    std::atomic<std::int64_t> count{0}, queued{0}, started{0}, finished{0};
  };
  std::array<Slot, kept> slots_{};
};

/// This process' page: taken over from the wrapper at the first call, by the thread that computes; null where there is
/// none, or another process of the rank has it.
ProgressPage* progress_page();

/// CLOCK_MONOTONIC, the same for all processes of a host.
std::int64_t monotonic_ns();

}  // namespace trireme
