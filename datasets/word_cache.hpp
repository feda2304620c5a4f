// Words a tokenizer has met and their ids, in a flat hash table whose memory is bounded: a full one is emptied.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

class WordCache {
 public:
  static constexpr std::size_t longest_word = 128;

  WordCache();

  /// Nothing for a word that is not there; valid until the next add(). `hash` is hash_of(word).
  std::optional<std::span<const std::int32_t>> find(std::string_view word, std::uint64_t hash) const;
  /// A word of at most longest_word bytes that is not there.
  void add(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> ids);

  static std::uint64_t hash_of(std::string_view word);

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t text = 0, ids = 0;
    std::uint16_t bytes = 0, count = 0;  // bytes 0: free
  };
  void clear();
  void grow();
  std::size_t place(std::uint64_t hash) const { return static_cast<std::size_t>(hash) & (slots_.size() - 1); }

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  std::string text_;
  std::vector<std::int32_t> ids_;
};

}  // namespace trireme
