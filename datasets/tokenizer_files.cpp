#include "datasets/tokenizer_files.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "core/io/json_object.hpp"
#include "datasets/byte_alphabet.hpp"
#include "datasets/tokenizer_texts.hpp"
#include "datasets/unicode_classes.hpp"

namespace trireme {
namespace {

constexpr std::int64_t characters_version = 1;

/// The entries of `vocab` in the order of their ids.
std::vector<std::pair<std::int64_t, std::string>> entries_of(const Json& vocab, const std::string& path) {
  if (!vocab.is_object()) fail(ExitCode::corrupt_input, "{}: the vocabulary is not an object of tokens and ids", path);
  std::vector<std::pair<std::int64_t, std::string>> out;
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0)
      fail(ExitCode::corrupt_input, "{}: the token '{}' has the id {}, wanted an integer from 0", path, token,
           id.dump());
    out.emplace_back(id.get<std::int64_t>(), token);
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

TokenTexts::TokenTexts(const Json& vocab, const std::string& path) : path_(path) {
  const auto entries = entries_of(vocab, path);
  if (entries.empty()) fail(ExitCode::corrupt_input, "{}: the vocabulary is empty", path);
  // A vocabulary may have holes, but its size is what it holds and not what one id claims.
  const std::int64_t most = 2 * std::ssize(entries) + 1024, last = entries.back().first;
  if (last >= most) {
    fail(ExitCode::corrupt_input, "{}: the token '{}' has the id {}, but there are only {} tokens", path,
         entries.back().second, last, entries.size());
  }
  texts_.resize(static_cast<std::size_t>(last) + 1);
  for (const auto& [id, text] : entries) {
    std::string& place = texts_[static_cast<std::size_t>(id)];
    if (!place.empty()) fail(ExitCode::corrupt_input, "{}: '{}' and '{}' have the same id {}", path, place, text, id);
    if (text.empty()) fail(ExitCode::corrupt_input, "{}: the token of id {} has no text", path, id);
    place = text;
    ids_.emplace(text, static_cast<std::int32_t>(id));
  }
}

std::int32_t TokenTexts::id_of(const std::string& text) const {
  const auto found = ids_.find(text);
  if (found == ids_.end())
    fail(ExitCode::corrupt_input, "{}: the merges speak of '{}', which is not in the vocabulary", path_, text);
  return found->second;
}

Merge TokenTexts::merge(std::string_view left, std::string_view right) const {
  return {id_of(std::string(left)), id_of(std::string(right)), id_of(std::string(left) + std::string(right))};
}

std::vector<std::string> TokenTexts::bytes(const std::vector<AddedToken>& added) const {
  std::vector<std::string> out(texts_.size());
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    const bool apart = std::ranges::any_of(
        added, [&](const AddedToken& one) { return static_cast<std::size_t>(one.id) == id && one.text == texts_[id]; });
    if (apart) continue;
    auto spelt = unspelled(texts_[id]);
    if (!spelt) {
      fail(ExitCode::corrupt_input,
           "{}: the token '{}' is not written in the alphabet of bytes: only byte-level tokenizers are supported",
           path_, texts_[id]);
    }
    out[id] = std::move(*spelt);
  }
  return out;
}

TokenizerModel read_gpt2_files(const std::string& encoder, const std::string& merges) {
  const TokenTexts texts(parse_json(read_file(encoder, most_tokenizer_bytes), encoder, "a vocabulary"), encoder);
  TokenizerModel model;
  const std::string text = read_file(merges, most_tokenizer_bytes);
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos ||
        space + 1 == line.size()) {
      fail(ExitCode::corrupt_input, "{}:{}: '{}' is not two tokens with a space between them", merges, number, line);
    }
    model.merges.push_back(texts.merge(line.substr(0, space), line.substr(space + 1)));
  }
  model.tokens = texts.bytes({});
  // What no merge makes and is no byte stands for something else: <|endoftext|>.
  std::vector<bool> made(model.tokens.size());
  for (const auto& merge : model.merges) made[static_cast<std::size_t>(merge.result)] = true;
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    if (made[id] || model.tokens[id].size() <= 1) continue;
    model.added.push_back({.text = std::move(model.tokens[id]), .id = static_cast<std::int32_t>(id)});
    model.tokens[id].clear();
  }
  return model;
}

std::vector<AddedToken> read_added(const JsonObject& json, const char* key) {
  std::vector<AddedToken> out;
  json.each(key, [&](const JsonObject& one) {
    for (const char* rule : {"single_word", "lstrip", "rstrip"}) {
      if (one.has(rule) && one.flag(rule))
        one.refuse(rule, "is true: tokens that look at the text around them are not supported");
    }
    AddedToken token{.text = one.text("content"), .id = 0};
    const std::int64_t id = one.count("id");
    if (id > most_token_id) one.refuse("id", fmt::format("{} is above {}", id, most_token_id));
    token.id = static_cast<std::int32_t>(id);
    const bool special = !one.has("special") || one.flag("special");
    token.kind = special ? AddedToken::Kind::special : AddedToken::Kind::plain;
    out.push_back(std::move(token));
  });
  return out;
}

Json added_json(const std::vector<AddedToken>& added) {
  Json out = Json::array();
  for (const auto& one : added) {
    out.push_back({{"id", one.id},
                   {"content", one.text},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", one.kind == AddedToken::Kind::special}});
  }
  return out;
}

TokenizerModel read_characters_json(const Json& json, const std::string& path) {
  const JsonObject object(json, path, "");
  if (object.count("version") != characters_version) {
    object.refuse("version",
                  fmt::format("is {}, this program reads version {}", object.count("version"), characters_version));
  }
  return {.kind = TokenizerModel::Kind::characters,
          .tokens = object.texts("characters"),
          .added = read_added(object, "added_tokens"),
          .pattern = WordPattern::none};
}

Json characters_json(const TokenizerModel& model) {
  std::vector<std::string> characters = model.tokens;
  while (!characters.empty() && characters.back().empty()) characters.pop_back();  // places of added tokens
  return {{"format", characters_format},
          {"version", characters_version},
          {"characters", characters},
          {"added_tokens", added_json(model.added)}};
}

}  // namespace trireme
