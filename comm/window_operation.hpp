// Collectives among the processes of one host, through memory they share. Each is a list of stages with a condition
// ("all have filled chunk 3"), so the computing thread can advance it whenever it passes by, without blocking.
//   direct  all_reduce of tensors that lie in a shared window at the same offset: each process sums its part of all
//           copies in rank order and writes it into all copies; nothing is staged.
//   staged  all_reduce of any tensors: chunk by chunk, double-buffered; each process copies in what others sum.
//   small   everybody copies in, everybody reads: one synchronisation.
// Over several hosts each process' part is all-reduced with its counterparts on the other hosts between the two halves.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/node_sync.hpp"
#include "comm/node_window.hpp"
#include "comm/pending_work.hpp"

namespace trireme {

/// What the processes of one host share for the operations of one communicator.
struct WindowChannel {
  /// Each process' staging slice is a ring of places that are handed out in turn. A place comes back only after three
  /// others, when its lines have left the caches of the cores that wrote and read them: taking a line over from another
  /// core's own cache was seen to cost several times what fetching it from the shared one does.
  struct Layout {
    std::size_t chunk = 0;
    static constexpr std::size_t small = 64 * 1024;
    std::size_t largest() const { return (std::max(chunk, small) + 127) / 128 * 128; }
    std::size_t total() const { return 4 * largest(); }
  };

  WindowChannel(std::shared_ptr<NodeWindow> memory, NodeGroup processes, Layout places)
      : staging(std::move(memory)), group(std::move(processes)), layout(places), sync(staging->control(), group) {}

  std::shared_ptr<NodeWindow> staging;
  NodeGroup group;
  Layout layout;
  NodeSync sync;
  std::vector<std::weak_ptr<NodeWindow>> windows;  // of shared_allocator(), in the order they were made
  std::shared_ptr<Communicator> cross;             // one process of each host; null on one host or where not needed
  int parts = 1;                                   // how many processes of this host sum: the same on all hosts
  std::uint64_t operations = 0;
  std::vector<const std::byte*> sources;  // scratch of the running operation
  std::size_t next_place = 0;

  /// Where in every slice the next `bytes` go, at most Layout::largest(): the same on all processes, which make the
  /// same operations. Three places in a row never overlap.
  std::size_t take_place(std::size_t bytes);
};

/// A call that the channel carries out. The communicator's name and the call's number are for messages.
struct WindowCall {
  std::shared_ptr<WindowChannel> channel;
  Call call;
  CollectiveLog::Ticket ticket;
  std::string communicator;
};

/// all_reduce in place in the memory of a shared window, or null (and `call` as it was) when the call is not one.
std::shared_ptr<Work> direct_operation(WindowCall& call);
/// all_reduce of any host tensors.
std::shared_ptr<Work> staged_operation(WindowCall&& call);
/// all_reduce, reduce_scatter, all_gather, broadcast with `in` of at most Layout::small bytes, and barrier; one host.
std::shared_ptr<Work> small_operation(WindowCall&& call);

}  // namespace trireme
