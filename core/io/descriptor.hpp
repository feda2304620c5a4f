// An open file descriptor with one owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace trireme {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { close(); }

  /// -1 where nothing is open.
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// What close() says: network file systems report late write errors there, so the good way of a writer asks.
  int close() noexcept { return fd_ < 0 ? 0 : ::close(std::exchange(fd_, -1)); }

 private:
  int fd_ = -1;
};

}  // namespace trireme
