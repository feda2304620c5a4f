// Text to numbers and back: byte-level byte-pair encoding (GPT-2 and its heirs), or one number for each character. A
// Tokenizer is read from files of others or of ours (docs/tokenizers.md), never changes, and may be used by any number
// of threads. For long texts TokenEncoder is faster: it remembers words.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/hash.hpp"

namespace trireme {

struct TokenizerModel;

/// Whether "<|endoftext|>" in a text is that token, or fifteen letters like any others.
enum class SpecialTokens : std::uint8_t { as_text, recognised };

class Tokenizer {
 public:
  /// A folder with tokenizer.json, with encoder.json and vocab.bpe, or with vocab.json and merges.txt, or one of these
  /// files. ExitCode::corrupt_input for anything else, and for kinds of tokenizer.json that are not byte-level BPE,
  /// with what is not supported.
  static Tokenizer load(const std::string& path);
  /// Whether a folder has one of these files.
  static bool is_in(const std::string& folder);
  /// What load() makes of a file with this text; `path` is for messages.
  static Tokenizer parse(const std::string& text, const std::string& path);
  /// Checks the model: ExitCode::corrupt_input where it is none.
  explicit Tokenizer(TokenizerModel model);

  /// Writes tokenizer.json into a folder, or the file where the path ends in .json.
  void save(const std::string& path) const;
  /// The text save() writes: equal for tokenizers that give equal numbers, whatever they were read from.
  std::string to_text() const;
  /// XXH3-128 of to_text().
  const Hash128& hash() const;

  /// Any bytes with byte pairs, text that is not UTF-8 included; with characters, ExitCode::corrupt_input for one that
  /// is not in the vocabulary.
  std::vector<std::int32_t> encode(std::string_view text, SpecialTokens special = SpecialTokens::as_text) const;
  /// The bytes behind the ids, exactly those that were encoded. ExitCode::corrupt_input for an id without a token.
  std::string decode(std::span<const std::int32_t> ids) const;
  std::string_view bytes_of(std::int32_t id) const;

  /// One more than the largest id.
  std::int64_t vocabulary() const;
  /// The id of a special token ("<|endoftext|>").
  std::optional<std::int32_t> special(std::string_view name) const;
  /// The first special token there is of <|endoftext|>, <|end_of_text|>, </s>, <eos>, [EOS].
  std::optional<std::int32_t> end_of_text() const;
  /// "byte pairs" or "characters".
  std::string_view kind() const;
  const TokenizerModel& model() const;

 private:
  friend class TokenEncoder;
  struct State;
  std::shared_ptr<const State> state_;
};

/// Encodes many texts; keeps memory of words it has met. One per thread.
class TokenEncoder {
 public:
  explicit TokenEncoder(const Tokenizer& tokenizer, SpecialTokens special = SpecialTokens::as_text);
  ~TokenEncoder();
  TokenEncoder(TokenEncoder&&) noexcept;
  TokenEncoder& operator=(TokenEncoder&&) noexcept;

  /// Appends the ids of a text to `ids`.
  void encode(std::string_view text, std::vector<std::int32_t>& ids);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Decodes token by token for a reader who wants to see whole characters: what a token begins of one is held back until
/// the next tokens complete it, or show that it is none.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  /// The text that is complete with this token.
  std::string add(std::int32_t id);
  /// What was held back. All texts together are decode() of all ids.
  std::string end();

 private:
  Tokenizer tokenizer_;
  std::string held_;
};

}  // namespace trireme
