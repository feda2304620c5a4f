#include "datasets/byte_alphabet.hpp"

#include <array>

#include "datasets/unicode_classes.hpp"

namespace trireme {
namespace {

constexpr char32_t first_made = 0x100;

constexpr bool prints(int byte) { return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad); }

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<unsigned char, 256> order{};  // bytes in the order of their characters
  int printing = 0;
};

constexpr Alphabet alphabet = [] {
  Alphabet out;
  for (int byte = 0; byte < 256; ++byte) out.printing += prints(byte) ? 1 : 0;
  int own = 0, made = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const auto at = static_cast<std::size_t>(byte);
    if (prints(byte)) {
      out.character[at] = static_cast<char32_t>(byte);
      out.order[static_cast<std::size_t>(own++)] = static_cast<unsigned char>(byte);
    } else {
      out.character[at] = first_made + static_cast<char32_t>(made);
      out.order[static_cast<std::size_t>(out.printing + made++)] = static_cast<unsigned char>(byte);
    }
  }
  return out;
}();

}  // namespace

std::string spelled(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) append_utf8(alphabet.character[static_cast<unsigned char>(c)], out);
  return out;
}

std::optional<std::string> unspelled(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character c = first_character(text);
    const auto code = static_cast<int>(c.code);
    constexpr int made = static_cast<int>(first_made);
    if (code < 256 && prints(code)) {
      out += static_cast<char>(code);
    } else if (code >= made && code < made + 256 - alphabet.printing) {
      out += static_cast<char>(alphabet.order[static_cast<std::size_t>(alphabet.printing + code - made)]);
    } else {
      return std::nullopt;
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

unsigned char byte_of_place(int k) { return alphabet.order[static_cast<std::size_t>(k)]; }

}  // namespace trireme
