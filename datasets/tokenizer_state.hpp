// What a Tokenizer looks up while it works, made once from its model.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>

#include "datasets/pair_table.hpp"
#include "datasets/tokenizer.hpp"
#include "datasets/tokenizer_model.hpp"

namespace trireme {

struct Tokenizer::State {
  /// Of a model that was checked.
  explicit State(TokenizerModel checked);

  TokenizerModel model;
  PairTable pairs;
  std::array<std::int32_t, 256> bytes{};                     ///< Of byte pairs: the id of each byte.
  std::unordered_map<std::string_view, std::int32_t> words;  ///< Of byte pairs: ids by bytes, views into the model.
  std::unordered_map<char32_t, std::int32_t> characters;     ///< Of characters.
  std::unordered_map<std::string, std::int32_t> special;     ///< Added tokens by name.
  Hash128 hash;
};

}  // namespace trireme
