// What the tests of tokenizers and token sets share.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "datasets/byte_alphabet.hpp"
#include "datasets/tokenizer.hpp"
#include "datasets/tokenizer_model.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {

inline void write_text(const std::string& path, const std::string& text) {
  write_bytes(path, Bytes(text.begin(), text.end()));
}

inline std::string golden_tokenizer(const std::string& file) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/golden/tokenizer/" + file;
}

/// All bytes, "th", "he", "the", " t", " the", and <|endoftext|>.
inline TokenizerModel small_model() {
  TokenizerModel model;
  for (int place = 0; place < 256; ++place) model.tokens.emplace_back(1, static_cast<char>(byte_of_place(place)));
  const auto id = [&](const std::string& bytes) {
    return static_cast<std::int32_t>(std::ranges::find(model.tokens, bytes) - model.tokens.begin());
  };
  const auto join = [&](const std::string& left, const std::string& right) {
    const std::int32_t a = id(left), b = id(right);
    model.tokens.push_back(left + right);
    model.merges.push_back({a, b, static_cast<std::int32_t>(model.tokens.size()) - 1});
  };
  join("t", "h");
  join("h", "e");
  join("th", "e");
  join(" ", "t");
  join(" ", "the");
  model.added.push_back({.text = "<|endoftext|>", .id = static_cast<std::int32_t>(model.tokens.size())});
  return model;
}

/// Any bytes, or text-like ones: letters, spaces and pieces of UTF-8 are more frequent.
inline std::string random_text(std::mt19937_64& random, std::size_t most) {
  static const std::string often = " \n'etaoinshrdlu0123456789.,!\t\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80";
  std::string out(random() % (most + 1), '\0');
  const bool wild = random() % 2 == 0;
  for (char& c : out) c = wild ? static_cast<char>(random()) : often[random() % often.size()];
  return out;
}

inline std::string text_of(const std::vector<std::int32_t>& ids, const Tokenizer& tokenizer) {
  std::string out;
  for (const std::int32_t id : ids) out += "[" + std::string(tokenizer.bytes_of(id)) + "]";
  return out;
}

}  // namespace trireme
