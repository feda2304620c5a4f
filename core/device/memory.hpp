// Memory of a device. A Buffer is one owned block with a version (counted up by whoever writes into it in place,
// checked by the tape before backward); an Allocator makes them. StepAllocator caches freed blocks, so that a training
// step asks for the same addresses every time and never calls the system after its first pass.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/device/device.hpp"
#include "core/device/stream.hpp"

namespace trireme {

class Buffer {
 public:
  using Release = std::function<void(void*)>;
  Buffer(void* data, std::size_t bytes, Device device, Release release);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// How often the content was changed in place.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  Release release_;
  std::atomic<std::uint64_t> version_{0};
};

class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual Device device() const = 0;
  /// A block of `bytes` bytes aligned to 128 (0 bytes: a valid empty block). Not initialised. Throws Error with the
  /// size wanted, the size in use and the largest users when there is none.
  virtual std::shared_ptr<Buffer> allocate(std::size_t bytes) = 0;
  /// Blocks allocated from now on are for `label` (a layer), which allocators that keep accounts name in messages.
  virtual void set_label(const std::string&) {}
};

/// The system's memory for `device`: aligned host memory, a GPU's stream-ordered pool, or nothing for meta.
Allocator& system_allocator(Device device);

/// Caches blocks by size; same code for every device. Thread-safe. Blocks may outlive the allocator. A block is handed
/// out again as soon as it was given back: on a GPU all work on a step's blocks belongs on one stream, or waits for it.
class StepAllocator : public Allocator {
 public:
  explicit StepAllocator(Device device);
  ~StepAllocator() override;
  Device device() const override { return device_; }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override;

  void set_label(const std::string& label) override;
  std::size_t bytes_in_use() const;
  std::size_t peak_bytes() const;
  /// Bytes taken from the system, in use or cached.
  std::size_t bytes_reserved() const;
  /// The `count` largest live blocks, one line each with label and size.
  std::string report(int count) const;
  /// Gives cached blocks back to the system.
  void trim();

 private:
  struct Pool;
  std::shared_ptr<Buffer> from_system(std::size_t size);
  Device device_;
  std::shared_ptr<Pool> pool_;
};

/// An address and whose it is.
template <class Pointer>
struct Place {
  Pointer address;
  Device device;
};
/// Copies bytes between devices; blocks until done. Nothing happens where either side is meta.
void copy_bytes(Place<void*> to, Place<const void*> from, std::size_t bytes);
/// The same in the order of `stream`, which is of the GPU where one side is: returns at once if host memory is staged
/// (core/device/pinned.hpp). Both sides must live until the stream has come so far.
void copy_bytes(Place<void*> to, Place<const void*> from, std::size_t bytes, const Stream& stream);

}  // namespace trireme
