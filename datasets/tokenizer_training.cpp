#include "datasets/tokenizer_training.hpp"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "datasets/ordered_work.hpp"
#include "datasets/progress.hpp"
#include "datasets/unicode_classes.hpp"
#include "datasets/word_split.hpp"

namespace trireme {
namespace {

constexpr std::size_t part_bytes = std::size_t{1} << 20;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using WordCounts = std::unordered_map<std::string, std::int64_t, TextHash, std::equal_to<>>;

struct CountJob {
  std::string text;
  std::vector<std::size_t> pieces;  // bytes of each
};

void count_words(const CountJob& job, WordPattern pattern, WordCounts& counts) {
  std::string_view rest = job.text;
  for (const std::size_t bytes : job.pieces) {
    for (std::string_view piece = rest.substr(0, bytes); !piece.empty();) {
      const std::string_view word = piece.substr(0, first_word(piece, pattern));
      const auto found = counts.find(word);
      if (found != counts.end()) {
        ++found->second;
      } else {
        counts.emplace(word, 1);
      }
      piece.remove_prefix(word.size());
    }
    rest.remove_prefix(bytes);
  }
}

/// Gives the text of all inputs to `take`, piece by piece.
template <class Take>
void read_all(const TextInput& input, Take&& take) {
  TextReader reader(input);
  Progress progress("reading", reader.stored_bytes(), "bytes");
  std::int64_t shown = 0;
  for (TextPiece piece; reader.next(piece); shown = reader.stored_read()) {
    take(piece.text);
    progress.advance(reader.stored_read() - shown);
  }
  if (reader.text_bytes() == 0) fail(ExitCode::corrupt_input, "there is no text in the files: all of it is empty");
}

std::vector<CountedWord> counted_words(const TokenizerTraining& training) {
  TextInput input = training.input;
  input.cut = [pattern = training.pattern](std::string_view text) { return safe_cut(text, pattern); };
  std::vector<std::shared_ptr<WordCounts>> counts;
  {
    std::vector<OrderedWork<CountJob>::Work> works;
    for (std::int64_t i = 0; i < training.threads; ++i) {
      counts.push_back(std::make_shared<WordCounts>());
      works.emplace_back(
          [mine = counts.back(), pattern = training.pattern](CountJob& job) { count_words(job, pattern, *mine); });
    }
    OrderedWork<CountJob> work(std::move(works), [](CountJob&) {});
    CountJob job;
    read_all(input, [&](const std::string& text) {
      job.text += text;
      job.pieces.push_back(text.size());
      if (job.text.size() >= part_bytes) work.give(std::exchange(job, {}));
    });
    work.give(std::move(job));
    work.finish();
  }
  WordCounts& all = *counts.front();
  for (std::size_t i = 1; i < counts.size(); ++i) {
    for (const auto& [word, count] : *counts[i]) all[word] += count;
    counts[i]->clear();
  }
  std::vector<CountedWord> out;
  while (!all.empty()) {
    auto node = all.extract(all.begin());
    out.push_back({std::move(node.key()), node.mapped()});
  }
  std::ranges::sort(out, {}, &CountedWord::bytes);
  return out;
}

TokenizerModel train_characters(const TokenizerTraining& training) {
  TextInput input = training.input;
  input.cut = character_cut;
  std::set<char32_t> seen;
  std::array<bool, 128> plain{};
  std::int64_t at = 0;
  read_all(input, [&](std::string_view text) {
    while (!text.empty()) {
      const Utf8Character c = first_character(text);
      if (!c.valid()) {
        fail(ExitCode::corrupt_input,
             "byte {} of the text is {:#04x}, which is no UTF-8: a tokenizer by characters needs it", at,
             static_cast<unsigned char>(text.front()));
      }
      if (c.code < plain.size()) {
        plain[c.code] = true;
      } else {
        seen.insert(c.code);
      }
      at += c.bytes;
      text.remove_prefix(c.bytes);
    }
  });
  for (char32_t c = 0; c < plain.size(); ++c) {
    if (plain[c]) seen.insert(c);
  }
  TokenizerModel model{.kind = TokenizerModel::Kind::characters, .pattern = WordPattern::none};
  for (const char32_t c : seen) append_utf8(c, model.tokens.emplace_back());
  return model;
}

}  // namespace

Tokenizer train_tokenizer(const TokenizerTraining& training) {
  if (training.threads < 1) fail(ExitCode::usage, "{} threads: wanted at least 1", training.threads);
  const bool pairs = training.kind == TokenizerModel::Kind::byte_pairs;
  TokenizerModel model = pairs ? train_byte_pairs(counted_words(training), training) : train_characters(training);
  for (const auto& text : training.special) {
    if (text.empty()) fail(ExitCode::usage, "a special token has no text");
    model.added.push_back({.text = text, .id = static_cast<std::int32_t>(model.tokens.size() + model.added.size())});
  }
  Tokenizer tokenizer(std::move(model));
  if (pairs && tokenizer.vocabulary() < training.vocabulary) {
    log::warning("the text has pairs for {} tokens only, {} were asked for", tokenizer.vocabulary(),
                 training.vocabulary);
  }
  return tokenizer;
}

}  // namespace trireme
