// A small token set for tests of language models: short lines, each a document, of words that follow one another with
// some sense, cut by a tokenizer trained on them.
#pragma once

#include <string>
#include <vector>

#include "core/base/random.hpp"
#include "core/io/file.hpp"
#include "datasets/tokenize.hpp"
#include "datasets/tokenizer_training.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {

inline std::string language_lines() {
  const std::vector<std::string> words = {"the", "cat", "dog", "sees", "likes", "a", "tree", "and", "house", "old"};
  std::string out;
  std::uint32_t word = 0;
  for (std::uint32_t line = 0; line < 600; ++line) {
    for (std::uint32_t k = 0; k < 3 + line % 9; ++k) {
      word = (word * 3 + philox({line, k, 0, 0}, {7, 7})[0] % 3) % 10;
      out += (k > 0 ? " " : "") + words[word];
    }
    out += "\n";
  }
  return out;
}

/// The folder of a token set with a split for validation.
inline const std::string& language_data() {
  static const TempDir dir;
  static const std::string folder = [] {
    std::string json;
    const std::string text = language_lines();
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      json += "{\"text\": \"" + text.substr(begin, end - begin) + "\"}\n";
      begin = end + 1;
    }
    write_file_atomically(dir / "lines.jsonl", json);
    const TextInput input{.paths = {dir / "lines.jsonl"}};
    train_tokenizer({.input = input, .vocabulary = 280}).save(dir / "tokenizer.json");
    std::string path = dir / "set";
    tokenize({.input = input, .tokenizer = dir / "tokenizer.json", .out = path, .validation = 0.1});
    return path;
  }();
  return folder;
}

}  // namespace trireme
