// Batches in the memory of a GPU: the one that is used lies in fixed places (so that recorded work can be replayed on
// it), the next one is on its way meanwhile. A host slot is copied to a waiting room by a stream of its own, and from
// there to the fixed places in the order of the computing stream; events keep each copy behind the last use of what it
// overwrites. Works with a CPU's stream too, where every copy is done at once.
#pragma once

#include <memory>

#include "core/device/stream.hpp"
#include "datasets/batch_filler.hpp"

namespace trireme::detail {

class LoaderCore;

class DeviceFeed {
 public:
  /// `compute` outlives the feed and its batches.
  DeviceFeed(std::shared_ptr<LoaderCore> core, const Stream& compute);
  /// Waits for copies that are under way.
  ~DeviceFeed();
  DeviceFeed(const DeviceFeed&) = delete;
  DeviceFeed& operator=(const DeviceFeed&) = delete;

  /// The next batch, in the fixed places; ready in the order of the computing stream.
  LoaderSlot* next();
  /// The batch of next() is not used by work queued from now on.
  void give_back() noexcept { held_ = false; }
  /// The batch the next call will give.
  std::uint64_t next_ticket() const;

 private:
  void send();
  void let_go() noexcept;

  std::shared_ptr<LoaderCore> core_;
  const Stream& compute_;
  Stream copies_;
  LoaderSlot waiting_, fixed_;
  LoaderSlot* sent_ = nullptr;  // host slot whose copy to `waiting_` was begun
  LoaderSlot* left_ = nullptr;  // host slot of the batch before it
  Event arrived_;               // the copy of sent_
  Event left_arrived_;          // the copy of left_
  Event taken_;                 // `waiting_` was read
  bool held_ = false;
};

}  // namespace trireme::detail
