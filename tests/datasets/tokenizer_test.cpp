// Tokenizers: ids are those of the library the files come from, any bytes come back, foreign files are refused by name.
#include "datasets/tokenizer.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include <cstdlib>
#include <thread>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "datasets/pair_table.hpp"
#include "datasets/word_split.hpp"
#include "tests/datasets/tokenizer_helpers.hpp"

namespace trireme {
namespace {

std::vector<std::string> words_of(std::string_view text, WordPattern pattern) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t bytes = first_word(text, pattern);
    out.emplace_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(WordSplit, FollowsTheExpressionOfGpt2) {
  const auto words = [](const char* text) { return words_of(text, WordPattern::gpt2); };
  EXPECT_EQ(words("Hello, world's end"), (Texts{"Hello", ",", " world", "'s", " end"}));
  EXPECT_EQ(words("we'll WE'LL 're"), (Texts{"we", "'ll", " WE", "'", "LL", " '", "re"}));
  EXPECT_EQ(words("a  b\n\n c \n"), (Texts{"a", " ", " b", "\n\n", " c", " \n"}));
  EXPECT_EQ(words("x12345 ½!?...\tz"), (Texts{"x", "12345", " ½", "!?...", "\t", "z"}));
  EXPECT_EQ(words("\u00a0 漢字\u3000かな"), (Texts{"\u00a0", " 漢字", "\u3000", "かな"}));
  EXPECT_EQ(words("e\u0301"), (Texts{"e", "\u0301"}));
  EXPECT_EQ(words("a\xff\xfe b"), (Texts{"a", "\xff\xfe", " b"}));
}

TEST(WordSplit, FollowsTheExpressionOfGpt4) {
  const auto words = [](const char* text) { return words_of(text, WordPattern::gpt4); };
  EXPECT_EQ(words("Hello,world 12345"), (Texts{"Hello", ",world", " ", "123", "45"}));
  EXPECT_EQ(words("WE'LL it'\u017f"), (Texts{"WE", "'LL", " it", "'\u017f"}));
  EXPECT_EQ(words("end!\n\n  x \n y"), (Texts{"end", "!\n\n", " ", " x", " \n", " y"}));
  EXPECT_EQ(words("\tif (a)\n"), (Texts{"\tif", " (", "a", ")\n"}));
}

TEST(WordSplit, CutsWhereItIsSafe) {
  std::mt19937_64 random(5);
  for (const WordPattern pattern : {WordPattern::gpt2, WordPattern::gpt4}) {
    int cuts = 0;
    for (int round = 0; round < 3000; ++round) {
      const std::string text = random_text(random, 40);
      const std::size_t looked = random() % (text.size() + 1);
      const std::size_t cut = safe_cut(std::string_view(text).substr(0, looked), pattern);
      if (cut == 0) continue;
      ++cuts;
      ASSERT_LT(cut, looked);
      Texts parts = words_of(std::string_view(text).substr(0, cut), pattern);
      for (auto& word : words_of(std::string_view(text).substr(cut), pattern)) parts.push_back(word);
      ASSERT_EQ(parts, words_of(text, pattern)) << "round " << round << " of seed 5, cut at " << cut;
    }
    EXPECT_GT(cuts, 300);
  }
}

TEST(Tokenizer, JoinsTheBestPairFirst) {
  const Tokenizer tokenizer(small_model());
  EXPECT_EQ(text_of(tokenizer.encode("the then thhe"), tokenizer), "[the][ the][n][ ][th][he]");
  EXPECT_EQ(tokenizer.vocabulary(), 262);
  EXPECT_EQ(tokenizer.end_of_text(), 261);
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{258, 261, 260}), "the<|endoftext|> the");
  expect_error(ExitCode::corrupt_input, {"id 262", "below 262"}, [&] { tokenizer.bytes_of(262); });
  expect_error(ExitCode::corrupt_input, {"id -1"}, [&] { tokenizer.decode(std::vector<std::int32_t>{-1}); });
}

TEST(Tokenizer, SpecialTokensAreTextUnlessAskedFor) {
  const Tokenizer tokenizer(small_model());
  const std::string text = "the<|endoftext|>the";
  EXPECT_EQ(tokenizer.encode(text, SpecialTokens::recognised), (std::vector<std::int32_t>{258, 261, 258}));
  const auto as_text = tokenizer.encode(text);
  EXPECT_EQ(std::ranges::count(as_text, 261), 0);
  EXPECT_EQ(tokenizer.decode(as_text), text);
  TokenizerModel model = small_model();
  model.added.push_back({.text = "<|end", .id = 262});
  model.added.push_back({.text = "   ", .id = 263, .kind = AddedToken::Kind::plain});
  const Tokenizer more(model);
  EXPECT_EQ(more.encode("<|endoftext|><|end", SpecialTokens::recognised), (std::vector<std::int32_t>{261, 262}));
  EXPECT_EQ(more.encode("   the"), (std::vector<std::int32_t>{263, 258})) << "a plain added token is always found";
}

/// The rule, written down plainly: the lowest rank, of equals the leftmost.
void join_slowly(const std::vector<Merge>& merges, std::vector<std::int32_t>& ids) {
  for (;;) {
    std::size_t best = merges.size(), at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      for (std::size_t k = 0; k < best; ++k) {
        if (merges[k].left == ids[i] && merges[k].right == ids[i + 1]) best = k, at = i;
      }
    }
    if (best == merges.size()) return;
    ids[at] = merges[best].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Tokenizer, ShortAndLongWordsFollowTheSameRule) {
  const TokenizerModel model = Tokenizer::load(golden_tokenizer("tokenizer.json")).model();
  // Merges in another order too: then a later token may join before an earlier one.
  for (const bool turned : {false, true}) {
    std::vector<Merge> merges = model.merges;
    if (turned) std::ranges::reverse(merges);
    const PairTable table(merges);
    std::mt19937_64 random(11);
    for (const std::size_t length : {2U, 7U, 40U, 95U, 96U, 97U, 98U, 300U}) {
      for (int round = 0; round < 20; ++round) {
        std::vector<std::int32_t> ids;
        for (std::size_t i = 0; i < length; ++i)
          ids.push_back(static_cast<std::int32_t>(random() % (round % 2 == 0 ? 256 : 90)));
        if (round == 0) std::ranges::fill(ids, model.merges.front().left);
        std::vector<std::int32_t> want = ids;
        join_slowly(merges, want);
        table.join(ids);
        ASSERT_EQ(ids, want) << length << " bytes, round " << round << ", seed 11";
      }
    }
  }
}

TEST(Tokenizer, EqualPairsJoinFromTheLeft) {
  const std::vector<Merge> merges = {{0, 0, 1}, {1, 0, 2}};
  const PairTable table(merges);
  for (const std::size_t length : {3U, 95U, 97U, 301U}) {
    std::vector<std::int32_t> ids(length, 0), want((length - 3) / 2, 1);
    want.push_back(2);  // the odd one is the last
    table.join(ids);
    EXPECT_EQ(ids, want) << length;
  }
}

TEST(Tokenizer, AnyBytesComeBack) {
  const char* const asked = std::getenv("TRIREME_ROUND_TRIPS");
  const long rounds = asked != nullptr ? std::atol(asked) : 1000000;
  for (const char* file : {"tokenizer.json", "tokenizer_gpt4.json"}) {
    const Tokenizer tokenizer = Tokenizer::load(golden_tokenizer(file));
    TokenEncoder encoder(tokenizer);
    const std::uint64_t seed = std::random_device()();
    std::mt19937_64 random(seed);
    for (long round = 0; round < rounds; ++round) {
      const std::string text = random_text(random, 48);
      std::vector<std::int32_t> ids;
      encoder.encode(text, ids);
      ASSERT_EQ(tokenizer.decode(ids), text) << "seed " << seed << ", round " << round;
      if (round % 1000 == 0) {
        ASSERT_EQ(tokenizer.encode(text), ids) << "memory of words changes nothing";
      }
    }
  }
}

TEST(Tokenizer, GoldenIdsOfTheLibrary) {
  const std::pair<const char*, const char*> files[] = {{"tokenizer.json", "ids.json"},
                                                       {"tokenizer_gpt4.json", "ids_gpt4.json"}};
  for (const auto& [file, ids] : files) {
    const Tokenizer tokenizer = Tokenizer::load(golden_tokenizer(file));
    const Json golden = Json::parse(read_file(golden_tokenizer(ids)));
    ASSERT_GT(golden.size(), 200U);
    for (const Json& one : golden) {
      const auto text = one["text"].get<std::string>();
      ASSERT_EQ(tokenizer.encode(text, SpecialTokens::recognised), one["ids"].get<std::vector<std::int32_t>>()) << text;
    }
  }
}

TEST(Tokenizer, GoldenIdsOfGpt2) {
  const char* const folder = std::getenv("TRIREME_GPT2_BPE");
  if (folder == nullptr) GTEST_SKIP() << "skipped: no data (TRIREME_GPT2_BPE names a folder with GPT-2's encoder.json)";
  const Tokenizer tokenizer = Tokenizer::load(folder);
  EXPECT_EQ(tokenizer.vocabulary(), 50257);
  EXPECT_EQ(tokenizer.end_of_text(), 50256);
  const Json golden = Json::parse(read_file(golden_tokenizer("gpt2_ids.json")));
  for (const Json& one : golden) {
    const auto text = one["text"].get<std::string>();
    ASSERT_EQ(tokenizer.encode(text, SpecialTokens::recognised), one["ids"].get<std::vector<std::int32_t>>()) << text;
  }
  const TempDir dir;
  tokenizer.save(dir / "saved.json");
  const Tokenizer again = Tokenizer::load(dir / "saved.json");
  EXPECT_EQ(again.hash(), tokenizer.hash()) << "the same tokenizer from other files";
  EXPECT_EQ(again.model().merges, tokenizer.model().merges);
}

TEST(Tokenizer, TextStreamsInWholeCharacters) {
  const Tokenizer tokenizer(small_model());
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text = round == 0 ? "a漢😀\xf0\x9f" : random_text(random, 24), seen;
    TextStream stream(tokenizer);
    for (const std::int32_t id : tokenizer.encode(text)) {
      const std::string now = stream.add(id);
      seen += now;
    }
    if (round == 0) {
      EXPECT_EQ(seen, "a漢😀") << "the first two bytes of a character wait for the others";
    }
    ASSERT_EQ(seen + stream.end(), text) << "round " << round << ", seed 3";
  }
}

TEST(Tokenizer, CharactersHaveOneIdEach) {
  TokenizerModel model{.kind = TokenizerModel::Kind::characters,
                       .tokens = {"\n", " ", "a", "ä", "漢"},
                       .added = {{.text = "<|endoftext|>", .id = 5}},
                       .pattern = WordPattern::none};
  const TempDir dir;
  Tokenizer(model).save(dir.path());
  const Tokenizer tokenizer = Tokenizer::load(dir.path());
  EXPECT_EQ(tokenizer.kind(), "characters");
  EXPECT_EQ(tokenizer.encode("a ä漢\n"), (std::vector<std::int32_t>{2, 1, 3, 4, 0}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("漢a")), "漢a");
  EXPECT_EQ(tokenizer.end_of_text(), 5);
  EXPECT_EQ(tokenizer.vocabulary(), 6);
  EXPECT_EQ(tokenizer.hash(), Tokenizer(model).hash());
  expect_error(ExitCode::corrupt_input, {"'b' (U+0062)", "byte 2"}, [&] { tokenizer.encode("a b"); });
  expect_error(ExitCode::corrupt_input, {"0xc3", "no UTF-8"}, [&] { tokenizer.encode("\xc3"); });
}

TEST(Tokenizer, ManyThreadsMayUseOne) {
  const Tokenizer tokenizer = Tokenizer::load(golden_tokenizer("tokenizer.json"));
  const std::string text = read_file(golden_tokenizer("text.txt"));
  const auto want = tokenizer.encode(text);
  std::vector<std::jthread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { right += tokenizer.encode(text) == want ? 1 : 0; });
  threads.clear();
  EXPECT_EQ(right, 4);
}

class TokenizerFile : public testing::Test {
 protected:
  Json json_ = Json::parse(Tokenizer(small_model()).to_text());
  void expect_refused(const std::vector<std::string>& words) const {
    auto all = words;
    all.emplace_back("t.json");
    expect_error(ExitCode::corrupt_input, all, [&] { Tokenizer::parse(json_.dump(), "t.json"); });
  }
};

TEST_F(TokenizerFile, ReadsMergesAsPairsAndOtherHarmlessWords) {
  const Hash128 hash = Tokenizer(small_model()).hash();
  Json pairs = Json::array();
  for (const Json& one : json_["model"]["merges"]) {
    const auto text = one.get<std::string>();
    pairs.push_back({text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)});
  }
  json_["model"]["merges"] = pairs;
  json_["post_processor"] = {{"type", "ByteLevel"}, {"trim_offsets", false}};
  json_["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {json_["pre_tokenizer"]}}};
  json_["model"].erase("type");
  EXPECT_EQ(Tokenizer::parse(json_.dump(), "t.json").hash(), hash);
}

TEST_F(TokenizerFile, WholeWordsMayComeBeforePairs) {
  json_["model"]["vocab"]["n\u0120x"] = 262;
  json_["model"]["vocab"]["hex"] = 263;
  EXPECT_EQ(Tokenizer::parse(json_.dump(), "t.json").encode("hex").size(), 2U);
  json_["model"]["ignore_merges"] = true;
  EXPECT_EQ(Tokenizer::parse(json_.dump(), "t.json").encode("hex"), (std::vector<std::int32_t>{263}));
}

TEST_F(TokenizerFile, RefusesWhatItDoesNotKnowByName) {
  const Json good = json_;
  const auto change = [&](const char* place, const Json& value, const std::vector<std::string>& words) {
    json_ = good;
    json_[Json::json_pointer(place)] = value;
    expect_refused(words);
  };
  change("/model/type", "WordPiece", {"'WordPiece' is not supported", "BPE"});
  change("/model/dropout", 0.1, {"dropout"});
  change("/model/byte_fallback", true, {"byte_fallback"});
  change("/model/end_of_word_suffix", "</w>", {"end_of_word_suffix"});
  change("/normalizer", {{"type", "NFC"}}, {"normalizer", "'NFC'"});
  change("/pre_tokenizer", {{"type", "Metaspace"}}, {"pre_tokenizer", "'Metaspace'"});
  change("/pre_tokenizer", nullptr, {"pre_tokenizer", "'none'"});
  change("/pre_tokenizer/add_prefix_space", true, {"add_prefix_space"});
  change("/decoder", {{"type", "WordPiece"}}, {"decoder", "'WordPiece'"});
  change("/added_tokens/0/lstrip", true, {"added_tokens[0]", "lstrip"});
  Json split = {{"type", "Split"}, {"pattern", {{"Regex", "\\w+"}}}, {"behavior", "Isolated"}, {"invert", false}};
  Json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  change("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, level}}}, {"\\w+", "GPT-2"});
  change("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {level, level}}}, {"sequence"});
}

TEST_F(TokenizerFile, RefusesVocabulariesThatAreNone) {
  const Json good = json_;
  const auto change = [&](const char* place, const Json& value, const std::vector<std::string>& words) {
    json_ = good;
    json_[Json::json_pointer(place)] = value;
    expect_refused(words);
  };
  change("/model/vocab/the", 4000000000, {"4000000000", "only"});
  change("/model/vocab/the", -3, {"-3"});
  change("/model/vocab/the", 0, {"same id 0"});
  change("/model/vocab/new word", 262, {"'new word'", "byte-level"});
  change("/model/vocab", Json::array(), {"vocabulary"});
  change("/model/vocab", Json::object(), {"empty"});
  change("/model/merges/0", "t q", {"'tq'"});
  change("/model/merges/0", "th", {"two tokens"});
  change("/model/merges/0", 7, {"entry 0"});
  change("/added_tokens/0/id", 5, {"<|endoftext|>"});
  change("/added_tokens/0/content", "", {"added token"});
  json_ = good;
  json_["model"]["vocab"].erase("!");
  json_["model"]["vocab"]["!!"] = 0;
  expect_refused({"no token for the byte 0x21"});
  expect_error(ExitCode::corrupt_input, {"t.json", "is no tokenizer"}, [] { Tokenizer::parse("{}", "t.json"); });
  expect_error(ExitCode::corrupt_input, {"t.json"}, [] { Tokenizer::parse("", "t.json"); });
}

TEST_F(TokenizerFile, HalfATokenizerIsNamed) {
  const TempDir dir;
  expect_error(ExitCode::corrupt_input, {"no tokenizer"}, [&] { Tokenizer::load(dir / "absent"); });
  expect_error(ExitCode::corrupt_input, {"holds no tokenizer", "vocab.bpe"}, [&] { Tokenizer::load(dir.path()); });
  write_text(dir / "encoder.json", "{}");
  expect_error(ExitCode::corrupt_input, {"half", "vocab.bpe is missing"}, [&] { Tokenizer::load(dir.path()); });
  write_text(dir / "encoder.json", Json(json_["model"]["vocab"]).dump());
  write_text(dir / "vocab.bpe", "#version: 0.2\nt h\nh e\nth  e\n");
  expect_error(ExitCode::corrupt_input, {"vocab.bpe:4", "th  e"}, [&] { Tokenizer::load(dir.path()); });
  write_text(dir / "vocab.bpe", "#version: 0.2\nt h\nh e\nth e\n\u0120 t\n\u0120 the\n");
  EXPECT_EQ(Tokenizer::load(dir.path()).hash(), Tokenizer(small_model()).hash());
  const TempDir renamed;
  EXPECT_FALSE(Tokenizer::is_in(renamed.path()));
  std::filesystem::rename(dir / "encoder.json", renamed / "vocab.json");
  EXPECT_TRUE(Tokenizer::is_in(renamed.path()));
  expect_error(ExitCode::corrupt_input, {"half", "merges.txt is missing"}, [&] { Tokenizer::load(renamed.path()); });
  std::filesystem::rename(dir / "vocab.bpe", renamed / "merges.txt");
  EXPECT_EQ(Tokenizer::load(renamed.path()).hash(), Tokenizer(small_model()).hash());
}

}  // namespace
}  // namespace trireme
