// Which characters are letters, numbers and white space, as the patterns that cut texts into words ask: the general
// categories L and N and the property White_Space of Unicode 14.0.0.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trireme {

enum class CharClass : std::uint8_t { other, letter, number, space };

/// First and last character of a range.
using CharRange = std::array<char32_t, 2>;
std::span<const CharRange> letter_ranges();
std::span<const CharRange> number_ranges();

/// `c` may be any number; beyond U+10FFFF everything is other.
CharClass class_of(char32_t c);

/// A character at the front of a text: its code point and how many bytes it has. A byte that begins no valid UTF-8
/// character is by itself, a character above U+10FFFF.
struct Utf8Character {
  char32_t code = 0;
  std::uint32_t bytes = 0;
  bool valid() const { return code <= 0x10ffff; }
};
/// `text` is not empty.
Utf8Character first_character(std::string_view text);

/// Appends a character in UTF-8.
void append_utf8(char32_t code, std::string& out);

}  // namespace trireme
