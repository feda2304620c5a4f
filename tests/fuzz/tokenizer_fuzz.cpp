// Tokenizer files. The input is a kind, places and pieces that change a good file of that kind, and a text that the
// tokenizer encodes where the file is taken: the same bytes must come back, and the file as it is written again must be
// the same tokenizer.
#include "core/io/json_object.hpp"
#include "datasets/byte_alphabet.hpp"
#include "datasets/tokenizer.hpp"
#include "datasets/tokenizer_model.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

constexpr std::uint64_t kinds = 3;

TokenizerModel byte_pairs(WordPattern pattern) {
  TokenizerModel model{.pattern = pattern};
  for (int place = 0; place < 256; ++place) model.tokens.emplace_back(1, static_cast<char>(byte_of_place(place)));
  const auto join = [&](std::int32_t left, std::int32_t right) {
    model.tokens.push_back(model.tokens[static_cast<std::size_t>(left)] +
                           model.tokens[static_cast<std::size_t>(right)]);
    model.merges.push_back({left, right, static_cast<std::int32_t>(model.tokens.size()) - 1});
  };
  join(64, 65);
  join(256, 66);
  join(256, 257);
  join(64, 64);
  model.added.push_back({.text = "<|endoftext|>", .id = static_cast<std::int32_t>(model.tokens.size())});
  return model;
}

const std::string& original(std::uint64_t kind) {
  static const std::string texts[] = {Json::parse(Tokenizer(byte_pairs(WordPattern::gpt2)).to_text()).dump(),
                                      Json::parse(Tokenizer(byte_pairs(WordPattern::gpt4)).to_text()).dump(),
                                      Json::parse(Tokenizer({.kind = TokenizerModel::Kind::characters,
                                                             .tokens = {"\n", "a", "b", "\u00e4"},
                                                             .added = {{.text = "</s>", .id = 4}},
                                                             .pattern = WordPattern::none})
                                                      .to_text())
                                          .dump()};
  return texts[kind % kinds];
}

/// Replaces a piece of `text`.
void splice(fuzz::Input& input, std::string& text) {
  const std::size_t at = input.number(2) % (text.size() + 1), erased = input.number(1);
  text.replace(at, erased, input.text(input.number(1)));
}

std::string spliced(std::size_t at, std::size_t erased, std::string_view put) {
  std::string out;
  for (const std::size_t n : {at >> 8, at, erased, put.size()}) out += static_cast<char>(n);
  return out.append(put);
}

void check_taken(const Tokenizer& tokenizer, const std::string& text) {
  const Tokenizer again = Tokenizer::parse(tokenizer.to_text(), "written");
  fuzz::demand(again.hash() == tokenizer.hash(), "a tokenizer that was taken is written as it is");
  for (const auto special : {SpecialTokens::as_text, SpecialTokens::recognised}) {
    std::vector<std::int32_t> ids;
    if (!fuzz::takes([&] { ids = tokenizer.encode(text, special); })) {
      fuzz::demand(tokenizer.kind() == "characters", "byte pairs take every text");
      continue;
    }
    fuzz::demand(tokenizer.decode(ids) == text, "the text comes back");
    for (const auto id : ids) fuzz::demand(id >= 0 && id < tokenizer.vocabulary(), "ids are in the vocabulary");
    std::string streamed;
    TextStream stream(tokenizer);
    for (const auto id : ids) streamed += stream.add(id);
    fuzz::demand(streamed + stream.end() == text, "the text streams");
  }
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  std::vector<std::string> out;
  const std::string text = "the <|endoftext|> I'LL 123 abab aaaa\n\n  x\xff\xe6\xbc";
  for (char kind = 0; kind < static_cast<char>(kinds); ++kind) {
    const std::string& file = original(static_cast<std::uint64_t>(kind));
    const auto entry = [&](const std::string& changes, char count) {
      out.push_back(std::string{kind, count} + changes + text);
    };
    entry("", 0);
    for (const char* key :
         {"\"id\":", "\"merges\":[", "\"type\":\"", "\"content\":\"", "\"characters\":[", "\"Regex\":\""}) {
      for (std::size_t at = file.find(key); at != std::string::npos; at = file.find(key, at + 1)) {
        for (const char* other : {"-1", "99999999999", "\"", "null", "[", "a", "<|"})
          entry(spliced(at + std::string_view(key).size(), 1, other), 1);
      }
    }
  }
  return out;
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  std::string file = original(input.number(1));
  for (std::uint64_t changes = input.number(1) % 8; changes > 0 && !input.empty(); --changes) splice(input, file);
  const std::string text(input.rest());
  std::optional<Tokenizer> tokenizer;
  if (fuzz::takes([&] { tokenizer = Tokenizer::parse(file, "tokenizer.json"); })) check_taken(*tokenizer, text);
  return 0;
}
