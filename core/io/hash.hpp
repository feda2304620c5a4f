// Checksums of bytes: XXH3-128 (Yann Collet, xxHash 0.8), fast enough to check every byte of a data set while it is
// written or read. It finds damage, it does not stop forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace trireme {

struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  /// 32 hexadecimal digits, the high word first (the canonical form printed by `xxhsum -H2`).
  std::string hex() const;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

Hash128 hash_bytes(const void* data, std::size_t bytes);
inline Hash128 hash_text(std::string_view text) { return hash_bytes(text.data(), text.size()); }

/// The hash of bytes that come in pieces; equal to hash_bytes() of all of them. Move-only.
class Hasher {
 public:
  Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void update(const void* data, std::size_t bytes);
  /// The hash of everything given so far; more may follow.
  Hash128 digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trireme
