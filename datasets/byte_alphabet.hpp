// How files of byte-level tokenizers write bytes: each as one printable character, so that tokens are texts without
// spaces (Radford et al. 2019). The bytes that print in Latin-1 are themselves, the others U+0100, U+0101, ...
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trireme {

/// Bytes as their characters, in UTF-8.
std::string spelled(std::string_view bytes);
/// The bytes that `text` spells; nothing where it has another character.
std::optional<std::string> unspelled(std::string_view text);

/// The k-th byte, 0 <= k < 256, in the order of the characters.
unsigned char byte_of_place(int k);

}  // namespace trireme
