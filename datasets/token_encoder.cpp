// Text to ids: added tokens are found first, the text between them is cut into words, and a word's ids are remembered
// or made by joining pairs.
#include <algorithm>

#include "core/base/checked.hpp"
#include "datasets/tokenizer_state.hpp"
#include "datasets/unicode_classes.hpp"
#include "datasets/word_cache.hpp"
#include "datasets/word_split.hpp"

namespace trireme {
namespace {

/// Where a text has one of some tokens as it stands.
class AddedFinder {
 public:
  AddedFinder(const std::vector<AddedToken>& added, SpecialTokens special) {
    for (const auto& one : added) {
      if (special == SpecialTokens::as_text && one.kind == AddedToken::Kind::special) continue;
      wanted_.push_back(one);
      begins_[static_cast<unsigned char>(one.text.front())] = true;
    }
    // The longest of those that fit is the one.
    std::ranges::stable_sort(wanted_, [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
  }

  struct Found {
    std::size_t at;
    const AddedToken* token;  // null: there is none
  };
  Found find(std::string_view text) const {
    for (std::size_t at = 0; at < text.size() && !wanted_.empty(); ++at) {
      if (!begins_[static_cast<unsigned char>(text[at])]) continue;
      for (const auto& one : wanted_) {
        if (text.substr(at).starts_with(one.text)) return {at, &one};
      }
    }
    return {text.size(), nullptr};
  }

 private:
  std::vector<AddedToken> wanted_;
  std::array<bool, 256> begins_{};
};

}  // namespace

struct TokenEncoder::State {
  State(const Tokenizer& of, SpecialTokens special)
      : tokenizer(of), tables(*of.state_), finder(of.model().added, special) {}

  void encode_plain(std::string_view text, std::vector<std::int32_t>& ids) {
    if (tables.model.kind == TokenizerModel::Kind::characters) return encode_characters(text, ids);
    while (!text.empty()) {
      const std::size_t bytes = first_word(text, tables.model.pattern);
      encode_word(text.substr(0, bytes), ids);
      text.remove_prefix(bytes);
    }
  }

  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) {
    if (word.size() > WordCache::longest_word) {
      join(word);
      ids.insert(ids.end(), joined.begin(), joined.end());
      return;
    }
    const std::uint64_t hash = WordCache::hash_of(word);
    if (const auto known = cache.find(word, hash)) {
      ids.insert(ids.end(), known->begin(), known->end());
      return;
    }
    join(word);
    cache.add(word, hash, joined);
    ids.insert(ids.end(), joined.begin(), joined.end());
  }

  /// The ids of a word, in `joined`.
  void join(std::string_view word) {
    joined.clear();
    if (tables.model.lookup == TokenizerModel::Lookup::whole_words) {
      if (const auto found = tables.words.find(word); found != tables.words.end()) {
        joined.push_back(found->second);
        return;
      }
    }
    for (const char c : word) joined.push_back(tables.bytes[static_cast<unsigned char>(c)]);
    tables.pairs.join(joined);
  }

  void encode_characters(std::string_view text, std::vector<std::int32_t>& ids) const {
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Character c = first_character(text.substr(at));
      const auto found = c.valid() ? tables.characters.find(c.code) : tables.characters.end();
      if (found == tables.characters.end()) {
        fail(ExitCode::corrupt_input,
             "the tokenizer has no token for {} at byte {} of the text; its vocabulary of {} was made from other text",
             c.valid() ? fmt::format("the character '{}' (U+{:04X})", text.substr(at, c.bytes),
                                     static_cast<std::uint32_t>(c.code))
                       : fmt::format("the byte {:#04x}, which is no UTF-8,", static_cast<unsigned char>(text[at])),
             at, tables.characters.size());
      }
      ids.push_back(found->second);
      at += c.bytes;
    }
  }

  Tokenizer tokenizer;  // keeps the tables
  const Tokenizer::State& tables;
  AddedFinder finder;
  WordCache cache;
  std::vector<std::int32_t> joined;
};

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer, SpecialTokens special)
    : state_(std::make_unique<State>(tokenizer, special)) {}
TokenEncoder::~TokenEncoder() = default;
TokenEncoder::TokenEncoder(TokenEncoder&&) noexcept = default;
TokenEncoder& TokenEncoder::operator=(TokenEncoder&&) noexcept = default;

void TokenEncoder::encode(std::string_view text, std::vector<std::int32_t>& ids) {
  while (!text.empty()) {
    const auto [at, token] = state_->finder.find(text);
    state_->encode_plain(text.substr(0, at), ids);
    text.remove_prefix(at);
    if (token == nullptr) continue;
    ids.push_back(token->id);
    text.remove_prefix(token->text.size());
  }
}

}  // namespace trireme
