#include "core/device/pinned.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>

#include "core/device/cuda.hpp"

namespace trireme {
namespace {

/// Keeps what is given back, by size: powers of two from a page on.
class PinnedAllocator final : public Allocator {
 public:
  explicit PinnedAllocator(int index) : index_(index) {}
  Device device() const override { return Device::cpu(); }

  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    const std::size_t size = std::bit_ceil(std::max<std::size_t>(bytes, 4096));
    void* data = take(size);
    if (data == nullptr) data = cuda::allocate_pinned(index_, size);
    return std::make_shared<Buffer>(data, bytes, Device::cpu(), [this, size](void* block) { give_back(block, size); });
  }

 private:
  void* take(std::size_t size) {
    const std::lock_guard lock(guard_);
    const auto found = free_.find(size);
    if (found == free_.end()) return nullptr;
    void* const data = found->second;
    free_.erase(found);
    return data;
  }
  void give_back(void* data, std::size_t size) {
    const std::lock_guard lock(guard_);
    free_.emplace(size, data);
  }

  int index_;
  std::mutex guard_;
  std::multimap<std::size_t, void*> free_;
};

}  // namespace

Allocator& staging_allocator(Device device) {
  if (!device.is_cuda()) return system_allocator(Device::cpu());
  static std::mutex guard;
  // Never destroyed: buffers of static life are given back after everything else.
  static auto& all = *new std::map<int, PinnedAllocator>;
  const std::lock_guard lock(guard);
  return all.try_emplace(device.index, device.index).first->second;
}

}  // namespace trireme
