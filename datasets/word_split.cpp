#include "datasets/word_split.hpp"

#include <algorithm>

#include "datasets/unicode_classes.hpp"

namespace trireme {
namespace {

constexpr auto ascii_classes = [] {
  std::array<CharClass, 128> classes{};
  for (std::size_t c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 9 && c <= 13);
    classes[c] = letter                 ? CharClass::letter
                 : c >= '0' && c <= '9' ? CharClass::number
                 : space                ? CharClass::space
                                        : CharClass::other;
  }
  return classes;
}();

/// A character by its class and size.
struct Seen {
  CharClass what;
  std::uint32_t bytes;
};

/// The character at `at`, which is inside the text.
inline Seen look(std::string_view text, std::size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 128) return {ascii_classes[byte], 1};
  const Utf8Character c = first_character(text.substr(at));
  return {class_of(c.code), c.bytes};
}

/// The end of the characters of one class that begin at `at`.
inline std::size_t run(std::string_view text, std::size_t at, CharClass what) {
  while (at < text.size()) {
    const Seen next = look(text, at);
    if (next.what != what) break;
    at += next.bytes;
  }
  return at;
}

/// Of the character that ends at `at` > 0; spaces and pieces of characters count as space.
CharClass class_before(std::string_view text, std::size_t at) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(4, at); ++bytes) {
    const Seen c = look(text.substr(0, at), at - bytes);
    if (c.bytes == bytes && (bytes > 1 || static_cast<unsigned char>(text[at - 1]) < 128)) return c.what;
  }
  return CharClass::space;
}

bool is_newline(char c) { return c == '\n' || c == '\r'; }

enum class Case : std::uint8_t { as_it_is, any };

/// Bytes of 's 't 're 've 'm 'll 'd at the front; 0: none.
std::size_t contraction(std::string_view text, Case letters) {
  const auto letter = [&](std::size_t at) -> char {
    if (at >= text.size()) return '\0';
    const char c = text[at];
    return letters == Case::any && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1), second = letter(2);
  // The long s is an s to whoever ignores case.
  if (letters == Case::any && text.substr(1, 2) == "\u017f") return 3;
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  return first == 'l' && second == 'l' ? 3 : 0;
}

/// \s+(?!\S)|\s+ where the text begins with a space.
std::size_t space_word(std::string_view text) {
  std::size_t at = 0, last = 0;
  while (at < text.size()) {
    const Seen next = look(text, at);
    if (next.what != CharClass::space) return last > 0 ? last : at;
    last = at;
    at += next.bytes;
  }
  return at;
}

std::size_t gpt2_word(std::string_view text) {
  const Seen first = look(text, 0);
  if (text.front() == '\'') {
    if (const std::size_t bytes = contraction(text, Case::as_it_is); bytes > 0) return bytes;
  }
  if (first.what != CharClass::space) return run(text, first.bytes, first.what);
  if (text.front() != ' ' || text.size() == 1) return space_word(text);
  const Seen second = look(text, 1);
  return second.what == CharClass::space ? space_word(text) : run(text, 1 + second.bytes, second.what);
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n]*` from where its first character was taken.
std::size_t marks_word(std::string_view text, std::size_t at) {
  at = run(text, at, CharClass::other);
  while (at < text.size() && is_newline(text[at])) ++at;
  return at;
}

std::size_t gpt4_spaces(std::string_view text) {
  const std::size_t end = run(text, 0, CharClass::space);
  for (std::size_t at = end; at > 0; --at) {
    if (is_newline(text[at - 1])) return at;
  }
  return space_word(text);
}

std::size_t gpt4_word(std::string_view text) {
  const Seen first = look(text, 0);
  if (text.front() == '\'') {
    if (const std::size_t bytes = contraction(text, Case::any); bytes > 0) return bytes;
  }
  if (first.what == CharClass::letter) return run(text, first.bytes, CharClass::letter);
  if (first.what == CharClass::number) {
    std::size_t at = first.bytes;
    for (int more = 0; more < 2 && at < text.size(); ++more) {
      const Seen next = look(text, at);
      if (next.what == CharClass::number) at += next.bytes;
    }
    return at;
  }
  const bool more = first.bytes < text.size();
  const Seen second = more ? look(text, first.bytes) : Seen{CharClass::space, 0};
  if (second.what == CharClass::letter && !is_newline(text.front()))
    return run(text, first.bytes + second.bytes, CharClass::letter);
  if (first.what == CharClass::other) return marks_word(text, first.bytes);
  if (text.front() == ' ' && second.what == CharClass::other) return marks_word(text, first.bytes + second.bytes);
  return gpt4_spaces(text);
}

}  // namespace

std::size_t first_word(std::string_view text, WordPattern pattern) {
  switch (pattern) {
    case WordPattern::gpt2:
      return gpt2_word(text);
    case WordPattern::gpt4:
      return gpt4_word(text);
    case WordPattern::none:
      break;
  }
  return text.size();
}

std::size_t safe_cut(std::string_view text, WordPattern pattern) {
  if (pattern == WordPattern::none) return 0;
  // Before the first of some white space: no word has any but in front or after other white space, except that newlines
  // belong to the marks before them in the pattern gpt4.
  for (std::size_t at = text.size(); at-- > 1;) {
    const bool newline = is_newline(text[at]);
    if (text[at] != ' ' && text[at] != '\t' && !newline) continue;
    const CharClass before = class_before(text, at);
    const bool marks_may_go_on = newline && pattern == WordPattern::gpt4 && before == CharClass::other;
    if (before != CharClass::space && !marks_may_go_on) return at;
  }
  return 0;
}

}  // namespace trireme
