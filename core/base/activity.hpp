// Signs of life: counters that grow while this process gets on, and what its computing thread waits for, kept where
// another process may read them at any time, also when this one is stopped or dead. Writing costs nanoseconds. Without
// a watcher the counters lie in this process' own memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace trireme {

struct Activity {
  std::atomic<std::uint64_t> beats{0};      // grows with every small piece of work
  std::atomic<std::uint64_t> waiting{0};    // 1 while the computing thread waits for others
  std::atomic<std::uint64_t> waited_ns{0};  // in all
};

namespace detail {
inline Activity own_activity;
inline std::atomic<Activity*> activity_place{&own_activity};
/// Of the computing thread, whose waits count; others wait as a matter of course.
inline thread_local bool counts_waits = false;
}  // namespace detail

inline Activity& activity() { return *detail::activity_place.load(std::memory_order_relaxed); }

inline void beat() { activity().beats.fetch_add(1, std::memory_order_relaxed); }

/// From now on the counters are those at `place`, and the calling thread's waits count.
inline void publish_activity(Activity* place) {
  detail::activity_place.store(place, std::memory_order_relaxed);
  detail::counts_waits = true;
}

/// The computing thread waits for others while this lives; one inside another counts once.
class WaitMark {
 public:
  WaitMark() : counts_(detail::counts_waits) {
    if (!counts_) return;
    detail::counts_waits = false;
    begin_ = std::chrono::steady_clock::now();
    activity().waiting.store(1, std::memory_order_relaxed);
  }
  ~WaitMark() {
    if (!counts_) return;
    const auto passed = std::chrono::steady_clock::now() - begin_;
    Activity& here = activity();
    here.waiting.store(0, std::memory_order_relaxed);
    here.waited_ns.fetch_add(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count()),
        std::memory_order_relaxed);
    detail::counts_waits = true;
  }
  WaitMark(const WaitMark&) = delete;
  WaitMark& operator=(const WaitMark&) = delete;

 private:
  bool counts_;
  std::chrono::steady_clock::time_point begin_{};
};

}  // namespace trireme
