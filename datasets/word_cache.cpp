#include "datasets/word_cache.hpp"

#include <cstring>
#include <utility>

namespace trireme {
namespace {

constexpr std::size_t first_slots = 1 << 8, most_slots = 1 << 19, growth = 4;
constexpr std::uint64_t odd = 0x9e3779b97f4a7c15U;

std::uint64_t load(const char* from, std::size_t bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

std::uint64_t mix(std::uint64_t h, std::uint64_t word) {
  h = (h ^ word) * odd;
  return h ^ h >> 32;
}

}  // namespace

WordCache::WordCache() : slots_(first_slots) {}

std::uint64_t WordCache::hash_of(std::string_view word) {
  std::uint64_t h = word.size() * odd;
  const char* at = word.data();
  std::size_t left = word.size();
  for (; left >= 8; left -= 8, at += 8) h = mix(h, load(at, 8));
  if (left > 0) h = mix(h, load(at, left));
  return mix(h, 0);
}

std::optional<std::span<const std::int32_t>> WordCache::find(std::string_view word, std::uint64_t hash) const {
  for (std::size_t at = place(hash); slots_[at].bytes != 0; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.hash != hash || slot.bytes != word.size()) continue;
    if (std::memcmp(text_.data() + slot.text, word.data(), word.size()) != 0) continue;
    return std::span(ids_).subspan(slot.ids, slot.count);
  }
  return std::nullopt;
}

void WordCache::add(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids) {
  if (2 * (used_ + 1) > slots_.size()) slots_.size() < most_slots ? grow() : clear();
  std::size_t at = place(hash);
  while (slots_[at].bytes != 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {.hash = hash,
                .text = static_cast<std::uint32_t>(text_.size()),
                .ids = static_cast<std::uint32_t>(ids_.size()),
                .bytes = static_cast<std::uint16_t>(word.size()),
                .count = static_cast<std::uint16_t>(ids.size())};
  text_ += word;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++used_;
}

void WordCache::clear() {
  slots_.assign(slots_.size(), Slot{});
  used_ = 0;
  text_.clear();
  ids_.clear();
}

void WordCache::grow() {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * growth));
  for (const Slot& slot : old) {
    if (slot.bytes == 0) continue;
    std::size_t at = place(slot.hash);
    while (slots_[at].bytes != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

}  // namespace trireme
