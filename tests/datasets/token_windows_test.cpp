// Windows of tokens against the stream written down plainly: across shards and documents, at any length, for training
// and for evaluation; damage is an error and not a crash.
#include "datasets/token_windows.hpp"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>

#include "datasets/loader.hpp"
#include "datasets/shard_file.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/tokenizer_helpers.hpp"

namespace trireme {
namespace {

using Ids = std::vector<std::int32_t>;
using Windows = TokenWindowOptions;

struct TokenSet {
  std::vector<Ids> documents;
  std::int64_t vocabulary = 262;
  std::int64_t shard_rows = 0;
  DType dtype = DType::u16;
};

/// A token set of given documents.
void write_set(const std::string& folder, const TokenSet& set) {
  const Tokenizer tokenizer(small_model());
  DatasetWriter writer({.folder = folder,
                        .fields = {{TokenSetEntry::field, set.dtype, Shape{}, FieldSpec::Layout::ragged}},
                        .shard_rows = set.shard_rows,
                        .tokens = TokenSetEntry{.vocabulary = set.vocabulary,
                                                .end_of_text = 261,
                                                .tokenizer = "tokenizer.json",
                                                .tokenizer_hash = tokenizer.hash().hex()},
                        .existing = Existing::replace});
  writer.begin_split("train");
  for (const Ids& document : set.documents) {
    if (set.dtype == DType::u16) {
      const std::vector<std::uint16_t> narrow(document.begin(), document.end());
      writer.extend(narrow.data(), std::ssize(narrow));
    } else {
      writer.extend(document.data(), std::ssize(document));
    }
    writer.end_sample();
  }
  writer.add_file("tokenizer.json", tokenizer.to_text());
  writer.finish(Json::object());
}

/// Documents of lengths from 0 to 9; each id says where in the stream it stands.
std::vector<Ids> counting_documents(std::int64_t tokens, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Ids> out;
  for (std::int64_t at = 0; at < tokens;) {
    Ids document(std::min<std::size_t>(random() % 10, to_size(tokens - at)));
    for (auto& id : document) id = static_cast<std::int32_t>(at++ % 251);
    out.push_back(std::move(document));
  }
  return out;
}

/// What window `i` should hold.
struct Expected {
  Ids tokens, labels, starts;
  Expected(const std::vector<Ids>& documents, std::int64_t i, const Windows& options) {
    Ids stream, document_of;
    for (std::size_t d = 0; d < documents.size(); ++d) {
      for (const std::int32_t id : documents[d]) {
        stream.push_back(id);
        document_of.push_back(static_cast<std::int32_t>(d));
      }
    }
    const auto n = std::ssize(stream);
    const bool apart = options.documents == Windows::Documents::apart;
    for (std::int64_t at = i * options.context; at < (i + 1) * options.context; ++at) {
      tokens.push_back(at < n ? stream[to_size(at)] : 0);
      const bool known = at + 1 < n && !(apart && document_of[to_size(at)] != document_of[to_size(at) + 1]);
      labels.push_back(known ? stream[to_size(at) + 1] : -1);
      std::int64_t start = std::min(at, n - 1);
      while (start > i * options.context && document_of[to_size(start)] == document_of[to_size(start) - 1]) --start;
      starts.push_back(static_cast<std::int32_t>(start - i * options.context));
    }
  }
};

class TokenWindowsTest : public testing::Test {
 protected:
  Samples open(const Windows& options) const { return token_windows(Dataset::open(folder_).split("train"), options); }
  TempDir dir_;
  std::string folder_ = dir_ / "set";
};

Ids row_of(const Batch& batch, const char* field, std::int64_t row) {
  const Ids all = batch.field(field).to_vector<std::int32_t>();
  const auto context = std::ssize(all) / batch.rows();
  return {all.begin() + row * context, all.begin() + (row + 1) * context};
}

TEST_F(TokenWindowsTest, AreTheStreamCutEveryContextTokens) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    for (const std::int64_t tokens : {2, 7, 97, 98, 240}) {
      const auto documents = counting_documents(tokens, seed);
      write_set(folder_, {.documents = documents, .shard_rows = 7, .dtype = seed == 2 ? DType::i32 : DType::u16});
      for (const std::int64_t context : {1, 2, 8, 97, 1000}) {
        for (const auto apart : {Windows::Documents::joined, Windows::Documents::apart}) {
          const Windows options{.context = context, .documents = apart, .starts = Windows::Starts::with};
          const Samples samples = open(options);
          ASSERT_EQ(samples->count(), ceil_div(tokens - 1, context));
          Loader loader(samples, {.batch = 3, .pass = Pass::evaluate, .threads = 0});
          for (std::int64_t i = 0; !loader.finished();) {
            const Batch batch = loader.next();
            for (std::int64_t row = 0; row < 3 && i < samples->count(); ++row, ++i) {
              const Expected want(documents, i, options);
              ASSERT_EQ(row_of(batch, "tokens", row), want.tokens) << i << " of " << context << ", seed " << seed;
              ASSERT_EQ(row_of(batch, "labels", row), want.labels) << i << " of " << context << ", seed " << seed;
              ASSERT_EQ(row_of(batch, "document_start", row), want.starts)
                  << i << " of " << context << ", seed " << seed;
            }
          }
        }
      }
    }
  }
}

TEST_F(TokenWindowsTest, EvaluationPredictsEveryTokenOnce) {
  const auto documents = counting_documents(500, 4);
  write_set(folder_, {.documents = documents, .shard_rows = 11});
  for (int parts = 1; parts <= 4; ++parts) {
    std::int64_t predicted = 0;
    for (int part = 0; part < parts; ++part) {
      Loader loader(open({.context = 16}), {.batch = 5, .part = part, .parts = parts, .pass = Pass::evaluate});
      while (!loader.finished()) {
        const Batch batch = loader.next();
        const Ids labels = batch.field("labels").to_vector<std::int32_t>();
        predicted += std::ssize(labels) - std::ranges::count(labels, ignored_label);
        for (std::int64_t row = 0; row < batch.rows(); ++row) {
          if (batch.weight().span<float>()[to_size(row)] != 0) continue;
          EXPECT_EQ(row_of(batch, "labels", row), Ids(16, ignored_label)) << "a row that is no sample";
        }
      }
    }
    EXPECT_EQ(predicted, 499) << parts << " parts";
  }
}

TEST_F(TokenWindowsTest, TrainingGoesOnAtAnyPositionWithAnyNumberOfParts) {
  write_set(folder_, {.documents = counting_documents(700, 5), .shard_rows = 20});
  for (const Order order : {Order::shuffled, Order::blocks}) {
    const LoaderOptions options{.batch = 6, .seed = 9, .order = order, .blocks = {.samples = 4, .group = 2}};
    std::vector<Ids> whole;
    Loader all(open({.context = 8}), options);
    for (int step = 0; step < 40; ++step) {
      const Batch batch = all.next();
      for (std::int64_t row = 0; row < 6; ++row) whole.push_back(row_of(batch, "tokens", row));
    }
    std::vector<Ids> pieces(whole.size());
    for (int part = 0; part < 3; ++part) {
      LoaderOptions mine = options;
      mine.part = part;
      mine.parts = 3;
      for (const std::uint64_t start : {0, 120}) {
        mine.start = start;
        mine.threads = part;
        Loader loader(open({.context = 8}), mine);
        for (int step = 0; step < 20; ++step) {
          const Batch batch = loader.next();
          for (std::int64_t row = 0; row < batch.rows(); ++row)
            pieces[batch.first_row_position() + to_size(row)] = row_of(batch, "tokens", row);
        }
      }
    }
    EXPECT_EQ(pieces, whole);
  }
}

TEST_F(TokenWindowsTest, AnIdOutsideTheVocabularyIsAnErrorAndVerifyFindsIt) {
  for (const DType dtype : {DType::u16, DType::i32}) {
    auto documents = counting_documents(60, 6);
    documents.push_back({5, 6, 262, 7});
    write_set(folder_, {.documents = documents, .shard_rows = 5, .dtype = dtype});
    Loader loader(open({.context = 8}), {.batch = 8, .pass = Pass::evaluate, .threads = 1});
    expect_error(ExitCode::corrupt_input, {"id 262", "vocabulary has 262", "train-000"}, [&] {
      while (!loader.finished()) loader.next();
    });
    const auto problems = verify_dataset(Dataset::open(folder_)).problems;
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_NE(problems[0].what.find("id 262 of its token"), std::string::npos) << problems[0].what;
  }
  write_set(folder_, {.documents = {{5, -7, 6}}, .dtype = DType::i32});
  Loader loader(open({.context = 8}), {.batch = 1, .pass = Pass::evaluate, .threads = 0});
  expect_error(ExitCode::corrupt_input, {"id -7"}, [&] { loader.next(); });
}

TEST_F(TokenWindowsTest, VerifyKnowsTheTokenizer) {
  write_set(folder_, {.documents = counting_documents(30, 7)});
  EXPECT_TRUE(verify_dataset(Dataset::open(folder_)).problems.empty());
  TokenizerModel other = small_model();
  other.merges.pop_back();
  Tokenizer(other).save(folder_);
  auto problems = verify_dataset(Dataset::open(folder_)).problems;
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].file, "tokenizer.json");
  std::filesystem::remove(folder_ + "/tokenizer.json");
  problems = verify_dataset(Dataset::open(folder_)).problems;
  ASSERT_EQ(problems.size(), 1U);
  write_set(folder_, {.documents = counting_documents(30, 7), .vocabulary = 300});
  problems = verify_dataset(Dataset::open(folder_)).problems;
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_NE(problems[0].what.find("a vocabulary of 262, the index says 300"), std::string::npos) << problems[0].what;
}

TEST_F(TokenWindowsTest, ForgedDocumentsAreAnError) {
  write_set(folder_, {.documents = {{1, 2, 3}, {4, 5}, {6, 7, 8, 9}}});
  DatasetIndex index = Dataset::open(folder_).index();
  ShardEntry& shard = index.splits[0].shards[0];
  const auto offsets = std::ranges::find(shard.arrays, "tokens.offsets", &StoredArray::name);
  const Bytes good = read_bytes(folder_ + "/" + shard.file);
  for (std::size_t at = 0; at < 4; ++at) {
    for (const std::int64_t value : {-5, 4, 100}) {
      Bytes bad = good;
      std::memcpy(bad.data() + to_size(offsets->offset) + at * 8, &value, 8);
      write_bytes(folder_ + "/" + shard.file, bad);
      Loader loader(open({.context = 3, .starts = Windows::Starts::with}),
                    {.batch = 3, .pass = Pass::evaluate, .threads = 0});
      try {
        const Ids starts = loader.next().field("document_start").to_vector<std::int32_t>();
        for (const std::int32_t start : starts) EXPECT_TRUE(start >= 0 && start < 3) << at << " became " << value;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
      }
      EXPECT_FALSE(verify_dataset(Dataset::open(folder_)).problems.empty()) << at << " became " << value;
    }
  }
}

TEST_F(TokenWindowsTest, WhatCannotBeIsNamed) {
  write_set(folder_, {.documents = {{1, 2, 3}}});
  expect_error(ExitCode::usage, {"windows of 0 tokens"}, [&] { open({.context = 0}); });
  expect_error(ExitCode::usage, {"no field 'image'", "tokens, labels"},
               [&] { Loader loader(open({.context = 2}), {.batch = 1, .fields = {"image"}}); });
  EXPECT_NE(open({.context = 2})->fingerprint(), open({.context = 3})->fingerprint());
  write_set(folder_, {.documents = {{1}}});
  expect_error(ExitCode::corrupt_input, {"1 token(s)", "at least 2"}, [&] { open({.context = 4}); });
  write_small(dir_ / "images");
  expect_error(ExitCode::usage, {"holds no tokens", "tokenize"},
               [&] { token_windows(Dataset::open(dir_ / "images").split("train"), {.context = 4}); });
}

TEST_F(TokenWindowsTest, TheIndexOfATokenSetIsRead) {
  write_set(folder_, {.documents = {{1, 2, 3}}});
  const DatasetIndex good = Dataset::open(folder_).index();
  EXPECT_EQ(good.tokens->vocabulary, 262);
  EXPECT_EQ(good.tokens->end_of_text, 261);
  const auto refused = [&](const std::function<void(Json&)>& change, const std::vector<std::string>& words) {
    Json json = Json::parse(good.to_text());
    change(json);
    write_text(folder_ + "/index.json", json.dump());
    expect_error(ExitCode::corrupt_input, words, [&] { Dataset::open(folder_); });
  };
  refused([](Json& json) { json["tokens"]["vocabulary"] = 0; }, {"tokens.vocabulary"});
  refused([](Json& json) { json["tokens"]["end_of_text"] = 262; }, {"tokens.end_of_text", "outside"});
  refused([](Json& json) { json["tokens"]["tokenizer"] = "../x"; }, {"plain file name"});
  refused([](Json& json) { json["fields"][0]["dtype"] = "u8"; }, {"ragged field 'tokens' of u16 or i32"});
  refused([](Json& json) { json["tokens"] = 7; }, {"tokens is not an object"});
}

}  // namespace
}  // namespace trireme
