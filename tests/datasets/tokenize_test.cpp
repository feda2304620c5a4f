// From texts to token sets: what is read comes out again, the bytes do not depend on threads, and what is wrong with a
// text is said with file and line.
#include "datasets/tokenize.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "core/io/file.hpp"
#include "datasets/token_windows.hpp"
#include "datasets/verify.hpp"
#include "datasets/word_split.hpp"
#include "tests/datasets/tokenizer_helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// The documents of a split, decoded.
std::vector<std::string> documents_of(const std::string& folder, const std::string& name) {
  const Dataset set = Dataset::open(folder);
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const auto split = set.split(name);
  std::vector<std::string> out;
  for (std::int64_t d = 0; d < split->count(); ++d) {
    const RaggedRow row = split->ragged(0, d);
    std::vector<std::int32_t> ids(to_size(row.elements));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      std::uint16_t id = 0;
      std::memcpy(&id, row.data + i * 2, 2);
      ids[i] = id;
    }
    out.push_back(tokenizer.decode(ids));
  }
  return out;
}

class Tokenize : public testing::Test {
 protected:
  void SetUp() override {
    Tokenizer::load(golden_tokenizer("tokenizer.json")).save(dir_ / "tokenizer.json");
    fs::create_directories(dir_ / "texts");
  }
  TokenizeOptions options(const std::vector<std::string>& names) const {
    TokenizeOptions out{.tokenizer = dir_ / "tokenizer.json", .out = dir_ / "set", .existing = Existing::replace};
    for (const auto& name : names) out.input.paths.push_back(dir_ / name);
    return out;
  }
  std::vector<std::string> made(const TokenizeOptions& how, const std::string& split = "train") const {
    tokenize(how);
    EXPECT_TRUE(verify_dataset(Dataset::open(how.out)).problems.empty());
    return documents_of(how.out, split);
  }
  TempDir dir_;
};

constexpr const char* end = "<|endoftext|>";

TEST_F(Tokenize, FilesOfAFolderAreDocumentsByName) {
  write_text(dir_ / "texts/b.txt", "second one");
  write_text(dir_ / "texts/a.txt", "first\none\n");
  write_text(dir_ / "texts/.hidden", "never");
  write_text(dir_ / "texts/c.txt", "");
  EXPECT_EQ(made(options({"texts"})),
            (std::vector<std::string>{std::string("first\none\n") + end, std::string("second one") + end}));
  const DatasetIndex index = Dataset::open(dir_ / "set").index();
  EXPECT_EQ(index.tokens->vocabulary, 450);
  EXPECT_EQ(index.tokens->tokenizer_hash, Tokenizer::load(dir_ / "tokenizer.json").hash().hex());
  EXPECT_EQ(index.fields[0].dtype, DType::u16);
  EXPECT_EQ(index.provenance["empty_documents"], 1);
  EXPECT_EQ(index.provenance["sources"].size(), 3U);
  auto bare = options({"texts"});
  bare.end_of_text = "none";
  EXPECT_EQ(made(bare), (std::vector<std::string>{"first\none\n", "second one"}));
  bare.end_of_text = "<|other|>";
  expect_error(ExitCode::usage, {"<|other|>"}, [&] { tokenize(bare); });
}

TEST_F(Tokenize, LinesAndJsonLinesAreDocuments) {
  write_text(dir_ / "texts/lines", "one\r\n\ntwo \n<|endoftext|>");
  auto lines = options({"texts/lines"});
  lines.input.unit = DocumentUnit::line;
  EXPECT_EQ(made(lines), (std::vector<std::string>{std::string("one") + end, std::string("two ") + end,
                                                   std::string("<|endoftext|>") + end}));
  write_text(dir_ / "texts/t.jsonl", "{\"text\": \"a\\nb \\u00e4\", \"n\": 1}\n\n{\"n\": 2, \"text\": \"c\"}");
  EXPECT_EQ(made(options({"texts/t.jsonl"})),
            (std::vector<std::string>{std::string("a\nb ä") + end, std::string("c") + end}));
  if (std::system(("gzip -k " + (dir_ / "texts/t.jsonl")).c_str()) != 0) GTEST_SKIP() << "skipped: no gzip";
  EXPECT_EQ(made(options({"texts/t.jsonl.gz"})), made(options({"texts/t.jsonl"})));
}

TEST_F(Tokenize, ABadLineIsNamed) {
  const auto refused = [&](const std::string& text, const std::vector<std::string>& words) {
    write_text(dir_ / "texts/t.jsonl", text);
    auto all = words;
    all.emplace_back("t.jsonl:2");
    expect_error(ExitCode::corrupt_input, all, [&] { tokenize(options({"texts/t.jsonl"})); });
    EXPECT_FALSE(fs::exists(dir_ / "set"));
  };
  const std::string good = "{\"text\": \"x\"}\n";
  refused(good + "{\"text\": \"x\"", {"JSON object"});
  refused(good + "{\"txt\": \"x\"}\n" + good, {"text", "missing"});
  refused(good + "{\"text\": 5}", {"not a text"});
  refused(good + "[]", {"not an object"});
  refused(good + "{\"text\": \"\xff\"}", {"JSON object"});
  write_text(dir_ / "texts/t.jsonl", "");
  expect_error(ExitCode::corrupt_input, {"no text", "empty"}, [&] { tokenize(options({"texts/t.jsonl"})); });
  write_text(dir_ / "texts/t.jsonl", "{\"text\": \"\"}\n");
  expect_error(ExitCode::corrupt_input, {"no text", "1 documents"}, [&] { tokenize(options({"texts/t.jsonl"})); });
  expect_error(ExitCode::corrupt_input, {"absent"}, [&] { tokenize(options({"absent"})); });
  fs::create_directories(dir_ / "vacant");
  expect_error(ExitCode::corrupt_input, {"holds no files"}, [&] { tokenize(options({"vacant"})); });
}

TEST_F(Tokenize, LongTextsComeInPiecesWithTheSameIds) {
  std::mt19937_64 random(2);
  std::string text;
  while (text.size() < (std::size_t{5} << 20)) text += random_text(random, 200) + " and";
  write_text(dir_ / "texts/long", text);
  auto how = options({"texts/long"});
  how.end_of_text = "none";
  tokenize(how);
  const auto split = Dataset::open(dir_ / "set").split("train");
  const auto want = Tokenizer::load(dir_ / "tokenizer.json").encode(text);
  ASSERT_EQ(split->count(), 1);
  const RaggedRow row = split->ragged(0, 0);
  ASSERT_EQ(row.elements, std::ssize(want));
  for (std::size_t i = 0; i < want.size(); ++i) {
    std::uint16_t id = 0;
    std::memcpy(&id, row.data + i * 2, 2);
    ASSERT_EQ(id, want[i]) << "token " << i;
  }
}

TEST_F(Tokenize, TheSetIsTheSameForAnyNumberOfThreads) {
  std::mt19937_64 random(3);
  std::string text;
  for (int i = 0; i < 30000; ++i) {
    std::string line = random_text(random, 200);
    std::ranges::replace(line, '\n', ' ');
    text += line + "\n";
  }
  write_text(dir_ / "texts/lines", text);
  auto how = options({"texts/lines"});
  how.input.unit = DocumentUnit::line;
  how.validation = 0.1;
  how.shard_bytes = 300000;
  std::string want;
  for (const std::int64_t threads : {1, 2, 5}) {
    how.threads = threads;
    const DatasetIndex index = tokenize(how);
    EXPECT_GT(index.splits[0].shards.size(), 3U);
    if (want.empty()) want = index.fingerprint();
    EXPECT_EQ(index.fingerprint(), want) << threads << " threads";
  }
}

TEST_F(Tokenize, ValidationIsSomeDocumentsOrTheTail) {
  std::string text;
  std::vector<std::string> all;
  for (int i = 0; i < 40; ++i) {
    all.push_back("line " + std::to_string(i));
    text += all.back() + "\n";
  }
  write_text(dir_ / "texts/lines", text);
  auto how = options({"texts/lines"});
  how.input.unit = DocumentUnit::line;
  how.end_of_text = "none";
  how.validation = 0.25;
  const auto train = made(how), validation = documents_of(how.out, "validation");
  EXPECT_EQ(validation.size(), 10U);
  std::vector<std::string> both = train;
  both.insert(both.end(), validation.begin(), validation.end());
  EXPECT_NE(both, all) << "not just the last ones";
  std::ranges::sort(both);
  std::ranges::sort(all);
  EXPECT_EQ(both, all);
  how.seed = 2;
  EXPECT_NE(made(how, "validation"), validation);
  how.validation = 0.001;
  expect_error(ExitCode::usage, {"leaves one part empty"}, [&] { tokenize(how); });
}

TEST_F(Tokenize, TheTailIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "ab 漢字";
  write_text(dir_ / "texts/one", text);
  auto how = options({"texts/one"});
  how.end_of_text = "none";
  how.held_out = HeldOut::tail;
  for (const double part : {0.1, 0.105, 0.11, 0.115, 0.12}) {
    how.validation = part;
    const auto train = made(how), validation = documents_of(how.out, "validation");
    ASSERT_EQ(train.size(), 1U);
    ASSERT_EQ(validation.size(), 1U);
    EXPECT_EQ(train[0] + validation[0], text);
    EXPECT_NEAR(static_cast<double>(validation[0].size()), part * static_cast<double>(text.size()), 4);
    EXPECT_NE(static_cast<unsigned char>(validation[0][0]) & 0xc0, 0x80) << "a character was cut";
  }
  // A border between two documents leaves both whole.
  write_text(dir_ / "texts/lines", "0123456789\n0123456789\n");
  how.input.paths = {dir_ / "texts/lines"};
  how.input.unit = DocumentUnit::line;
  how.validation = 0.5;
  EXPECT_EQ(made(how), std::vector<std::string>{"0123456789"});
  EXPECT_EQ(documents_of(how.out, "validation"), std::vector<std::string>{"0123456789"});
  how.validation = 0.25;
  EXPECT_EQ(made(how), (std::vector<std::string>{"0123456789", "01234"}));
  EXPECT_EQ(documents_of(how.out, "validation"), std::vector<std::string>{"56789"});
}

TEST_F(Tokenize, TheBorderMayBeWhereAPieceEnds) {
  std::string text;
  while (text.size() < (std::size_t{2} << 20)) text += "abc ";
  write_text(dir_ / "texts/one", text);
  auto how = options({"texts/one"});
  how.end_of_text = "none";
  how.held_out = HeldOut::tail;
  const std::size_t piece = safe_cut(std::string_view(text).substr(0, std::size_t{1} << 20), WordPattern::gpt2);
  for (const std::size_t border : {piece - 1, piece, piece + 1}) {
    how.validation = (static_cast<double>(text.size() - border) + 0.5) / static_cast<double>(text.size());
    EXPECT_EQ(made(how), std::vector<std::string>{text.substr(0, border)});
    EXPECT_EQ(documents_of(how.out, "validation"), std::vector<std::string>{text.substr(border)});
  }
}

TEST_F(Tokenize, ShardsEndWithDocumentsAndWindowsGoOn) {
  write_text(dir_ / "texts/a", std::string(5000, 'q'));
  write_text(dir_ / "texts/b", std::string(100, 'q'));
  write_text(dir_ / "texts/c", std::string(20, 'q'));
  auto how = options({"texts"});
  how.shard_bytes = 400;
  const DatasetIndex index = tokenize(how);
  const auto& shards = index.splits[0].shards;
  ASSERT_EQ(shards.size(), 2U);
  EXPECT_EQ(shards[0].count, 1);
  EXPECT_EQ(shards[1].count, 2);
  EXPECT_GT(token_windows(Dataset::open(how.out).split("train"), {.context = 1000})->count(), 4);
}

}  // namespace
}  // namespace trireme
