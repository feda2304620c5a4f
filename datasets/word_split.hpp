// Cuts a text into the words inside which byte pairs are joined, as the regular expressions of known tokenizers do, but
// written out by hand. Matches are taken from left to right and leave nothing out; a byte that is no UTF-8 counts as a
// character that is neither letter nor number nor space.
//   gpt2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   gpt4   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
//          |\s+(?!\S)|\s+
//   none   the whole text is one word
#pragma once

#include <cstddef>
#include <string_view>

#include "datasets/tokenizer_model.hpp"

namespace trireme {

/// Bytes of the first word of a text that is not empty.
std::size_t first_word(std::string_view text, WordPattern pattern);

/// The last place in `text` at which it may be cut so that the words of both parts are the words of the whole, whatever
/// text follows; 0 where there is none. Never the end.
std::size_t safe_cut(std::string_view text, WordPattern pattern);

}  // namespace trireme
