// Memory whose every new block is full of bytes 0xff: numbers that are none in every floating type, and -1 in whole
// ones. What an op forgets to write, or reads before it was written, then shows in its result.
#pragma once

#include <vector>

#include "core/device/memory.hpp"

namespace trireme::test {

class PoisonedMemory final : public Allocator {
 public:
  explicit PoisonedMemory(Device device) : blocks_(device) {}
  Device device() const override { return blocks_.device(); }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    std::shared_ptr<Buffer> block = blocks_.allocate(bytes);
    const std::vector<unsigned char> pattern(bytes, 0xff);
    copy_bytes({block->data(), device()}, {pattern.data(), Device::cpu()}, bytes);
    return block;
  }

 private:
  StepAllocator blocks_;
};

}  // namespace trireme::test
