// Training of byte pairs against the rule written down plainly, and its independence of threads and order.
#include "datasets/tokenizer_training.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "core/io/file.hpp"
#include "datasets/word_split.hpp"
#include "tests/datasets/tokenizer_helpers.hpp"

namespace trireme {
namespace {

/// Counts all pairs anew before each merge.
std::vector<Merge> merges_by_counting(const std::vector<CountedWord>& words, std::int64_t tokens, std::int64_t least) {
  std::vector<std::string> texts;
  std::map<std::string, std::int32_t> ids;
  for (int place = 0; place < 256; ++place) {
    texts.emplace_back(1, static_cast<char>(byte_of_place(place)));
    ids[texts.back()] = place;
  }
  std::vector<std::vector<std::int32_t>> split;
  for (const auto& word : words) {
    auto& now = split.emplace_back();
    for (const char c : word.bytes) now.push_back(ids[std::string(1, c)]);
  }
  std::vector<Merge> merges;
  while (std::ssize(texts) < tokens) {
    std::map<std::pair<std::int32_t, std::int32_t>, std::int64_t> counts;
    for (std::size_t w = 0; w < words.size(); ++w)
      for (std::size_t i = 1; i < split[w].size(); ++i) counts[{split[w][i - 1], split[w][i]}] += words[w].count;
    const auto best = std::ranges::max_element(counts, {}, [](const auto& one) { return one.second; });
    if (best == counts.end() || best->second < least) break;
    const auto [left, right] = best->first;
    const std::string text = texts[to_size(left)] + texts[to_size(right)];
    if (!ids.contains(text)) {
      ids[text] = static_cast<std::int32_t>(texts.size());
      texts.push_back(text);
    }
    merges.push_back({left, right, ids[text]});
    for (auto& word : split) {
      for (std::size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] = ids[text];
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(TokenizerTraining, FollowsTheRule) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    std::mt19937_64 random(seed);
    std::map<std::string, std::int64_t> counted;
    for (int i = 0; i < 120; ++i) {
      std::string word(1 + random() % 9, '\0');
      for (char& c : word) c = static_cast<char>('a' + random() % (seed == 4 ? 1 : 3));
      counted[word] += 1 + static_cast<std::int64_t>(random() % 5);
    }
    std::vector<CountedWord> words;
    for (const auto& [bytes, count] : counted) words.push_back({bytes, count});
    for (const std::int64_t least : {1, 3}) {
      const TokenizerTraining training{.vocabulary = 330, .special = {}, .minimum_count = least};
      const auto want = merges_by_counting(words, 330, least);
      const TokenizerModel model = train_byte_pairs(words, training);
      ASSERT_FALSE(want.empty());
      EXPECT_EQ(model.merges, want) << "seed " << seed << ", seen at least " << least;
    }
  }
}

class TokenizerTrainingFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::mt19937_64 random(6);
    for (int file = 0; file < 5; ++file) {
      std::string text;
      for (int i = 0; i < 20000; ++i) text += random_text(random, 60);
      write_text(dir_ / ("texts/" + std::to_string(file)), text);
    }
  }
  struct Folder {
    Folder(const TempDir& dir) { std::filesystem::create_directories(dir / "texts"); }
  };
  TempDir dir_;
  Folder folder_{dir_};
};

TEST_F(TokenizerTrainingFiles, IsTheSameForAnyNumberOfThreadsAndOrderOfFiles) {
  TokenizerTraining training{.vocabulary = 700};
  training.input.paths = {dir_ / "texts"};
  const Tokenizer alone = train_tokenizer(training);
  EXPECT_EQ(alone.vocabulary(), 700);
  EXPECT_EQ(alone.end_of_text(), 699);
  training.threads = 3;
  EXPECT_EQ(train_tokenizer(training).hash(), alone.hash());
  training.input.paths = {dir_ / "texts/3", dir_ / "texts/1", dir_ / "texts/4", dir_ / "texts/0", dir_ / "texts/2"};
  EXPECT_EQ(train_tokenizer(training).hash(), alone.hash());
}

TEST(TokenizerTraining, CharactersAreSortedAndAllThere) {
  const TempDir dir;
  write_text(dir / "t", "漢bäa\n");
  TokenizerTraining training{.kind = TokenizerModel::Kind::characters, .special = {"<|endoftext|>"}};
  training.input.paths = {dir / "t"};
  const Tokenizer tokenizer = train_tokenizer(training);
  EXPECT_EQ(tokenizer.model().tokens, (std::vector<std::string>{"\n", "a", "b", "ä", "漢", ""}));
  EXPECT_EQ(tokenizer.end_of_text(), 5);
  write_text(dir / "t", "ab\xff");
  expect_error(ExitCode::corrupt_input, {"byte 2", "0xff"}, [&] { train_tokenizer(training); });
}

TEST(TokenizerTraining, WhatCannotBeIsNamed) {
  const TempDir dir;
  write_text(dir / "t", "some text");
  TokenizerTraining training{.vocabulary = 256};
  training.input.paths = {dir / "t"};
  expect_error(ExitCode::usage, {"256", "at least 257"}, [&] { train_tokenizer(training); });
  training.vocabulary = 300;
  EXPECT_LT(train_tokenizer(training).vocabulary(), 300) << "there are not so many pairs";
  training.special = {"a", "a"};
  expect_error(ExitCode::corrupt_input, {"added twice"}, [&] { train_tokenizer(training); });
  training.special = {"e"};
  expect_error(ExitCode::corrupt_input, {"'e' has two ids"}, [&] { train_tokenizer(training); });
  write_text(dir / "t", "");
  expect_error(ExitCode::corrupt_input, {"no text"}, [&] { train_tokenizer(training); });
}

}  // namespace
}  // namespace trireme
