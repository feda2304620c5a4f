// What the readers of tokenizer files share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/io/json_object.hpp"
#include "datasets/tokenizer_model.hpp"

namespace trireme {

inline constexpr std::size_t most_tokenizer_bytes = std::size_t{256} << 20;
inline constexpr std::int64_t most_token_id = (std::int64_t{1} << 24) - 1;

/// A vocabulary as files write it: texts in the alphabet of bytes, and their ids.
class TokenTexts {
 public:
  /// Checks ids and texts; `path` is for messages and must outlive the object.
  TokenTexts(const Json& vocab, const std::string& path);
  std::int32_t id_of(const std::string& text) const;
  /// A pair and what it makes, by their texts.
  Merge merge(std::string_view left, std::string_view right) const;
  /// The bytes of all tokens but those that are added ones.
  std::vector<std::string> bytes(const std::vector<AddedToken>& added) const;

 private:
  const std::string& path_;
  std::vector<std::string> texts_;
  std::unordered_map<std::string, std::int32_t> ids_;
};

/// The list `added_tokens`.
std::vector<AddedToken> read_added(const JsonObject& json, const char* key);
Json added_json(const std::vector<AddedToken>& added);

}  // namespace trireme
