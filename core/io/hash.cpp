#include "core/io/hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace trireme {
namespace {

Hash128 from(XXH128_hash_t h) { return {h.high64, h.low64}; }

}  // namespace

struct Hasher::State {
  XXH3_state_t xxh;
};

std::string Hash128::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Hash128 hash_bytes(const void* data, std::size_t bytes) { return from(XXH3_128bits(data, bytes)); }

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(const void* data, std::size_t bytes) { XXH3_128bits_update(&state_->xxh, data, bytes); }
Hash128 Hasher::digest() const { return from(XXH3_128bits_digest(&state_->xxh)); }

}  // namespace trireme
