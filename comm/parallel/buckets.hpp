// Gradients leave in buckets: contiguous ranges of the grad plane, summed over all ranks while backward goes on. They
// are sent strictly in reverse arena order, in whatever order they fill, so all ranks make the same calls even when
// they took different branches; flush() sends what never filled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "core/nn/arena.hpp"

namespace trireme {

struct BucketOptions {
  /// A bucket is closed once it has this many bytes; one larger parameter makes one larger bucket.
  std::size_t bytes = std::size_t{4} << 20;
  /// Of the first one sent: small, so that communication starts early in backward.
  std::size_t first_bytes = std::size_t{1} << 20;
};

struct Bucket {
  std::int64_t first = 0;  // elements of the grad plane, padding included
  std::int64_t count = 0;
  std::size_t first_entry = 0;  // entries of the layout
  std::size_t entries = 0;
};

/// Buckets of all trained entries in the order they are sent. Together they cover [0, layout.trained_elements()).
std::vector<Bucket> plan_buckets(const ArenaLayout& layout, const BucketOptions& options);

class Buckets {
 public:
  struct Timing {
    double exposed_seconds = 0;  // the host waited in flush(): what communication costs the step on a CPU
    double helping_seconds = 0;  // in fill(): this thread's share of the sums, while backward goes on
  };

  /// `comm` outlives the buckets; `grad` is the plane that `plan` divides.
  Buckets(Communicator& comm, std::vector<Bucket> plan, Tensor grad);

  void begin();
  /// The entry's gradient is complete. Starts every bucket whose turn has come, advances those under way; never blocks.
  void fill(std::size_t entry);
  /// Starts the rest in order and waits for all, on a GPU in the order of comm.compute().
  void flush();
  /// Whether the bucket of this entry was started: its gradients must not be changed any more.
  bool is_sent(std::size_t entry) const { return bucket_of_[entry] < sent_; }
  const std::vector<Bucket>& plan() const { return plan_; }
  std::size_t sent() const { return sent_; }
  const Timing& timing() const { return timing_; }

 private:
  void send_next();

  Communicator& comm_;
  std::vector<Bucket> plan_;
  Tensor grad_;
  std::vector<std::size_t> bucket_of_;  // per entry
  std::vector<char> filled_;            // per entry
  std::vector<std::size_t> missing_;    // per bucket: entries not filled yet
  std::vector<Event> under_way_;
  std::size_t sent_ = 0;
  Timing timing_;
};

/// Work on `values` that is queued or done from now on comes after `event`.
void wait_in_order(const Communicator& comm, const Tensor& values, const Event& event);

}  // namespace trireme
