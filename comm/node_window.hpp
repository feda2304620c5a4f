// Memory that all processes of one host map: a control area and one slice per process. The segment has a name only
// between two adjacent system calls, so nothing is left in /dev/shm whoever is killed when; others reach it through the
// creator's open descriptor. Its pages are reserved before use, each slice by its owner (which also places it on the
// owner's memory), so a full /dev/shm is a refusal at the start and never a crash later.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "comm/node_group.hpp"
#include "core/device/memory.hpp"

namespace trireme {

class NodeWindow : public std::enable_shared_from_this<NodeWindow> {
 public:
  struct Sizes {
    std::size_t control = 0;  // bytes all processes share, zero at first
    std::size_t slice = 0;    // bytes of each process
  };
  struct Result {
    std::shared_ptr<NodeWindow> window;  // null when refused
    std::string refusal;                 // why, the same text on all processes
  };
  /// Collective over the group: all processes get a window or all get a refusal. Throws only what `exchange` throws.
  static Result create(const NodeGroup& group, const Sizes& sizes);
  ~NodeWindow();
  NodeWindow(const NodeWindow&) = delete;
  NodeWindow& operator=(const NodeWindow&) = delete;

  std::byte* control() const { return base_ + header_bytes; }
  std::byte* slice(int rank) const;
  std::size_t slice_bytes() const { return sizes_.slice; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Where `address` stands in this process' slice; nothing when it is elsewhere.
  std::optional<std::size_t> offset_of(const void* address) const;

  /// Hands out this process' slice from its start, 128-byte aligned, without reuse: processes that allocate the same
  /// sizes in the same order get the same offsets. The window lives as long as any of its buffers.
  std::shared_ptr<Allocator> allocator();

 private:
  class SliceAllocator;
  static constexpr std::size_t header_bytes = 4096;  // token that proves it is the segment that was meant

  NodeWindow(const NodeGroup& group, const Sizes& sizes) : rank_(group.rank), size_(group.size), sizes_(sizes) {}
  std::size_t total() const;
  std::size_t slice_offset(int rank) const;
  void create_segment();
  void open_segment(const std::string& address);
  void reserve_and_map(const std::string& token);

  int rank_;
  int size_;
  Sizes sizes_;
  int descriptor_ = -1;
  std::byte* base_ = nullptr;
  std::mutex guard_;
  std::size_t used_ = 0;
};

}  // namespace trireme
