// What a tokenizer is, as plain values: what the readers of files make and Tokenizer works with.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

/// How a text is cut into words before pairs are joined; no token reaches across words (datasets/word_split.hpp).
enum class WordPattern : std::uint8_t { none, gpt2, gpt4 };

/// A token that is found in a text as it stands, before anything else.
struct AddedToken {
  std::string text;
  std::int32_t id = 0;
  /// special: not looked for under SpecialTokens::as_text. plain: always.
  enum class Kind : std::uint8_t { special, plain } kind = Kind::special;
  friend bool operator==(const AddedToken&, const AddedToken&) = default;
};

/// Two neighbours that become one token, the first in the list first.
struct Merge {
  std::int32_t left = 0, right = 0, result = 0;
  friend bool operator==(const Merge&, const Merge&) = default;
};

struct TokenizerModel {
  enum class Kind : std::uint8_t { byte_pairs, characters } kind = Kind::byte_pairs;
  /// The bytes of each token; empty where an id has none. Added tokens have theirs only in `added`.
  std::vector<std::string> tokens = {};
  std::vector<AddedToken> added = {};
  /// Of byte pairs only.
  std::vector<Merge> merges = {};
  WordPattern pattern = WordPattern::gpt2;
  /// whole_words: a word that is a token is that token, whatever pairs would make of it.
  enum class Lookup : std::uint8_t { pairs, whole_words } lookup = Lookup::pairs;
};

}  // namespace trireme
