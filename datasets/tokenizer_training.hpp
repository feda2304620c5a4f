// Makes a tokenizer from texts: `trireme data train-tokenizer`. The result is the same for any number of threads and
// any order of the files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/text_reader.hpp"
#include "datasets/tokenizer.hpp"
#include "datasets/tokenizer_model.hpp"

namespace trireme {

struct TokenizerTraining {
  TextInput input = {};
  TokenizerModel::Kind kind = TokenizerModel::Kind::byte_pairs;
  /// Tokens, with the 256 bytes and the special ones; fewer where the text has not as many pairs. Of byte pairs only.
  std::int64_t vocabulary = 32768;
  /// Get the last ids, in this order.
  std::vector<std::string> special = {"<|endoftext|>"};
  WordPattern pattern = WordPattern::gpt2;
  /// Pairs that are seen less often do not join.
  std::int64_t minimum_count = 2;
  std::int64_t threads = 1;
};

/// Byte pairs: the most frequent pair of neighbours inside words joins, again and again; of equally frequent ones the
/// pair with the smaller left id, then the smaller right id. The bytes have the ids 0 to 255 in the order of their
/// characters in files (datasets/byte_alphabet.hpp), as in GPT-2. Characters: all there are, by code point.
/// ExitCode::corrupt_input where there is no text, usage for numbers that cannot be.
Tokenizer train_tokenizer(const TokenizerTraining& training);

/// A word and how often it was seen.
struct CountedWord {
  std::string bytes;
  std::int64_t count = 0;
};

/// The merges of byte pairs, and the bytes of all tokens they need; at most `vocabulary` tokens.
TokenizerModel train_byte_pairs(const std::vector<CountedWord>& words, const TokenizerTraining& training);

}  // namespace trireme
