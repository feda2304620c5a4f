// Splits loops over the compute thread's OpenMP team. Only the compute thread may call this: helpers threads of loaders
// and communication never enter OpenMP. The split never changes results: every index is computed alone.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace trireme {

/// f(first, last) over consecutive parts of [0, n), in parallel when there are at least 2 * grain indices.
template <class F>
void parallel_ranges(std::int64_t n, std::int64_t grain, F&& f) {
#ifdef _OPENMP
  const std::int64_t wanted = grain > 0 ? n / grain : n;
  const int threads = static_cast<int>(wanted < omp_get_max_threads() ? wanted : omp_get_max_threads());
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    {
      const std::int64_t t = omp_get_thread_num(), parts = omp_get_num_threads();
      const std::int64_t first = n * t / parts, last = n * (t + 1) / parts;
      if (first < last) f(first, last);
    }
    return;
  }
#endif
  if (n > 0) f(std::int64_t{0}, n);
}

/// f(thread, threads) once on each of at most `most` threads at the same time, which may wait for each other.
template <class F>
void parallel_team(int most, F&& f) {
#ifdef _OPENMP
  if (most > 1) {
#pragma omp parallel num_threads(most)
    f(static_cast<std::size_t>(omp_get_thread_num()), static_cast<std::size_t>(omp_get_num_threads()));
    return;
  }
#endif
  f(std::size_t{0}, std::size_t{1});
}

/// Inside a parallel_team: waits until all its threads are here, and what they wrote is seen by all.
inline void team_barrier() {
#ifdef _OPENMP
#pragma omp barrier
#endif
}

/// How many threads work may be spread over at most.
inline int parallel_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// While it lives, work of the calling thread is not spread over others.
class OneThread {
 public:
#ifdef _OPENMP
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
#else
  OneThread() = default;
  ~OneThread() {}
#endif
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
#ifdef _OPENMP
  int before_;
#endif
};

/// f(task, thread) for each of n tasks of uneven cost, given out one by one in their order; `thread` is below
/// parallel_threads() and tells scratch memory apart.
template <class F>
void parallel_tasks(std::int64_t n, F&& f) {
#ifdef _OPENMP
  const int threads = static_cast<int>(n < omp_get_max_threads() ? n : omp_get_max_threads());
  if (threads > 1) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (std::int64_t task = 0; task < n; ++task) f(task, omp_get_thread_num());
    return;
  }
#endif
  for (std::int64_t task = 0; task < n; ++task) f(task, 0);
}

}  // namespace trireme
