// The one owner of a raw library handle: move-only, destroyed once. Destroy functions must not throw; after a device
// has failed they stay quiet, so that the first error is the one that is seen.
#pragma once

#include <utility>

namespace trireme {

template <class Raw, void (*destroy)(Raw)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(Raw raw) : raw_(raw) {}
  Handle(Handle&& other) noexcept : raw_(std::exchange(other.raw_, Raw{})) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      raw_ = std::exchange(other.raw_, Raw{});
    }
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  Raw get() const { return raw_; }
  explicit operator bool() const { return raw_ != Raw{}; }
  void reset() {
    if (raw_ != Raw{}) destroy(std::exchange(raw_, Raw{}));
  }

 private:
  Raw raw_{};
};

}  // namespace trireme
