#include "datasets/unicode_classes.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace trireme {
namespace {

constexpr std::size_t page_bits = 8, page_size = std::size_t{1} << page_bits;
constexpr std::size_t pages = 0x110000 >> page_bits;

constexpr CharRange spaces[] = {{0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                                {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                {0x205f, 0x205f}, {0x3000, 0x3000}};

using Page = std::array<CharClass, page_size>;

/// Classes by page; equal pages are kept once.
class Table {
 public:
  Table() {
    std::vector<CharClass> all(pages * page_size, CharClass::other);
    const auto mark = [&](std::span<const CharRange> ranges, CharClass what) {
      for (const auto& [first, last] : ranges) {
        for (char32_t c = first; c <= last; ++c) all[c] = what;
      }
    };
    mark(letter_ranges(), CharClass::letter);
    mark(number_ranges(), CharClass::number);
    mark(spaces, CharClass::space);
    std::map<Page, std::uint16_t> known;
    for (std::size_t p = 0; p < pages; ++p) {
      Page page;
      std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(p * page_size), page_size, page.begin());
      const auto [found, added] = known.try_emplace(page, static_cast<std::uint16_t>(pages_.size()));
      if (added) pages_.push_back(page);
      place_[p] = found->second;
    }
  }
  CharClass of(char32_t c) const { return pages_[place_[c >> page_bits]][c & (page_size - 1)]; }

 private:
  std::array<std::uint16_t, pages> place_{};
  std::vector<Page> pages_;
};

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// The smallest code point that needs so many bytes.
constexpr char32_t least_of[] = {0, 0, 0x80, 0x800, 0x10000};

}  // namespace

CharClass class_of(char32_t c) {
  static const Table table;
  return c < pages * page_size ? table.of(c) : CharClass::other;
}

Utf8Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {lead, 1};
  const Utf8Character alone{char32_t{0x110000} + lead, 1};
  const std::uint32_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return alone;
  char32_t code = lead & (0xffU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!continues(text[i])) return alone;
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least_of[bytes] || code > 0x10ffff || surrogate) return alone;
  return {code, bytes};
}

void append_utf8(char32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  const unsigned lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(lead[bytes] | code >> (6 * (bytes - 1)));
  for (int left = bytes - 2; left >= 0; --left) out += static_cast<char>(0x80 | (code >> (6 * left) & 0x3f));
}

}  // namespace trireme
