// The format on disk: what is written comes back, from one shard or many, fixed and ragged; damage is found and named.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/io/hdf5.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class Format : public testing::Test {
 protected:
  TempDir dir_;
  std::string folder_ = dir_ / "small";
};

TEST_F(Format, EverySampleComesBackFromAnyShardSize) {
  for (const std::int64_t shard_rows : {1, 3, 4, 10, 0}) {
    write_small(folder_, {.shard_rows = shard_rows, .existing = Existing::replace});
    const Dataset dataset = Dataset::open(folder_);
    EXPECT_EQ(dataset.class_names(), ten_classes());
    const auto split = dataset.split("train");
    ASSERT_EQ(split->count(), 10);
    const int image = split->field_index("image"), label = split->field_index("label");
    EXPECT_EQ(split->fields()[0].row, (Shape{5, 6, 1}));
    for (std::int64_t row = 0; row < 10; ++row) {
      std::int32_t found = -1;
      std::memcpy(&found, split->row(label, row), sizeof found);
      EXPECT_EQ(found, label_of(row));
      for (std::int64_t k = 0; k < 30; ++k) {
        ASSERT_EQ(std::to_integer<int>(split->row(image, row)[k]), pixel_of(row, k)) << "row " << row << " pixel " << k;
      }
    }
  }
}

TEST_F(Format, ShardsOfUnequalSizesAreSearched) {
  const DatasetIndex written = write_small(folder_, {.rows = 12, .shard_rows = 4});
  write_small(dir_ / "tail", {.rows = 2, .shard_rows = 4});
  // An index may list shards in any sizes: a shard of 2 in front of shards of 4.
  DatasetIndex index = written;
  fs::copy_file(dir_ / "tail/train-00000.h5", folder_ + "/short.h5");
  ShardEntry entry = Dataset::open(dir_ / "tail").index().splits[0].shards[0];
  entry.file = "short.h5";
  auto& split = index.splits[0];
  split.shards.insert(split.shards.begin(), entry);
  split.count += 2;
  const Split opened(folder_, index, split);
  for (std::int64_t row = 0; row < 14; ++row) {
    std::int64_t id = -1;
    std::memcpy(&id, opened.row(2, row), sizeof id);
    EXPECT_EQ(id, row < 2 ? row : row - 2);
  }
}

TEST_F(Format, RaggedFieldsKeepTheirLengths) {
  DatasetWriter writer(
      {.folder = folder_,
       .name = "texts",
       .fields = {{"tokens", DType::i32, Shape{}, FieldSpec::Layout::ragged}, {"weight", DType::f32, Shape{2}}},
       .class_names = {},
       .shard_rows = 3,
       .existing = Existing::refuse});
  const std::vector<std::int32_t> tokens = {10, 11, 12, 20, 40, 41, 50, 51, 52, 53};
  const std::vector<std::int64_t> lengths = {3, 1, 0, 2, 4};
  const std::vector<float> weights = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  writer.begin_split("train", 5);
  const FieldBlock blocks[] = {{tokens.data(), lengths}, {weights.data()}};
  writer.append(5, blocks);
  writer.begin_split("empty-values", 2);
  const std::vector<std::int64_t> none = {0, 0};
  const FieldBlock nothing[] = {{nullptr, none}, {weights.data()}};
  writer.append(2, nothing);
  writer.finish(Json::object());

  const Dataset dataset = Dataset::open(folder_);
  const auto split = dataset.split("train");
  std::size_t at = 0;
  for (std::int64_t row = 0; row < 5; ++row) {
    const RaggedRow value = split->ragged(0, row);
    ASSERT_EQ(value.elements, lengths[to_size(row)]);
    EXPECT_EQ(std::memcmp(value.data, tokens.data() + at, to_size(value.elements) * 4), 0) << row;
    at += to_size(value.elements);
    EXPECT_EQ(std::memcmp(split->row(1, row), weights.data() + row * 2, 8), 0) << row;
  }
  EXPECT_EQ(dataset.split("empty-values")->ragged(0, 1).elements, 0);
  EXPECT_TRUE(verify_dataset(dataset).problems.empty());
}

TEST_F(Format, FingerprintTellsContentNotTime) {
  write_small(folder_);
  write_small(dir_ / "other", {.rows = 11});
  const std::string first = Dataset::open(folder_).fingerprint();
  DatasetIndex index = Dataset::open(folder_).index();
  index.provenance["date"] = "another day";
  EXPECT_EQ(index.fingerprint(), first);
  EXPECT_NE(Dataset::open(dir_ / "other").fingerprint(), first);
}

TEST_F(Format, H5dumpOpensAShard) {
  if (std::system("command -v h5dump >/dev/null 2>&1") != 0) GTEST_SKIP() << "skipped: no h5dump";
  write_small(folder_);
  const std::string command = "h5dump " + folder_ + "/train-00002.h5 > " + (dir_ / "dump") + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Bytes bytes = read_bytes(dir_ / "dump");
  const std::string text(bytes.begin(), bytes.end());
  for (const char* word : {"trireme-shard", "DATASET \"image\"", "DATASET \"label\"", "class_names", "xxh3_128"}) {
    EXPECT_NE(text.find(word), std::string::npos) << word;
  }
}

TEST_F(Format, AShardCutAtAnyLengthIsAnErrorAndNotASignal) {
  write_small(folder_);
  const std::string shard = folder_ + "/train-00001.h5";
  const Bytes whole = read_bytes(shard);
  for (std::size_t length = 0; length < whole.size(); length += 61) {
    fs::resize_file(shard, length);
    expect_error(ExitCode::corrupt_input, {"train-00001.h5", "cut off"},
                 [&] { Dataset::open(folder_).split("train"); });
    write_bytes(shard, whole);
  }
  fs::remove(shard);
  expect_error(ExitCode::corrupt_input, {"train-00001.h5", "No such file"},
               [&] { Dataset::open(folder_).split("train"); });
}

TEST_F(Format, VerifyFindsEveryFlippedBit) {
  write_small(folder_);
  const std::string shard = folder_ + "/train-00001.h5";
  const Bytes whole = read_bytes(shard);
  ASSERT_TRUE(verify_dataset(Dataset::open(folder_)).problems.empty());
  for (std::size_t at = 3; at < whole.size(); at += 41) {
    Bytes damaged = whole;
    damaged[at] ^= 0x04;
    write_bytes(shard, damaged);
    const VerifyReport report = verify_dataset(Dataset::open(folder_));
    ASSERT_FALSE(report.problems.empty()) << "byte " << at;
    EXPECT_EQ(report.problems.front().file, "train-00001.h5");
    EXPECT_EQ(report.shards, 3);
  }
}

TEST_F(Format, VerifyNamesTheDamagedFieldAndTheBadLabel) {
  write_small(folder_);
  const std::string shard = folder_ + "/train-00000.h5";
  std::int64_t offset = 0;
  {
    const auto file = hdf5::File::open(shard);
    offset = file.contiguous_offset("label");
  }
  Bytes damaged = read_bytes(shard);
  damaged[to_size(offset) + 4] = 200;
  write_bytes(shard, damaged);
  const auto problems = verify_dataset(Dataset::open(folder_)).problems;
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_NE(problems[0].what.find("'label'"), std::string::npos) << problems[0].what;
  EXPECT_NE(problems[1].what.find("label 200 of its sample 1"), std::string::npos) << problems[1].what;
}

TEST_F(Format, ForeignFilesAreRefused) {
  expect_error(ExitCode::corrupt_input, {folder_, "index.json"}, [&] { Dataset::open(folder_); });
  fs::create_directories(folder_);
  for (const char* text :
       {"", "{", "[]", "{}", "{\"format\": \"other\"}", "{\"format\": \"trireme-dataset\", \"version\": 99}",
        "{\"format\": \"trireme-dataset\", \"version\": 1}", "{\"format\": 3}"}) {
    write_bytes(folder_ + "/index.json", Bytes(text, text + std::strlen(text)));
    expect_error(ExitCode::corrupt_input, {"index.json"}, [&] { Dataset::open(folder_); });
  }
  fs::remove_all(folder_);
  write_small(folder_);
  auto foreign = hdf5::File::create(dir_ / "foreign.h5");
  foreign.create_dataset("image", DType::f32, Shape{3});
  foreign.close();
  DatasetIndex index = Dataset::open(folder_).index();
  index.splits[0].shards[0].file = "../foreign.h5";
  index.splits[0].shards[0].bytes = static_cast<std::int64_t>(fs::file_size(dir_ / "foreign.h5"));
  expect_error(ExitCode::corrupt_input, {"foreign.h5 has", "the index says"},
               [&] { Split split(folder_, index, index.splits[0]); });
  const std::string text = index.to_text();
  write_bytes(folder_ + "/index.json", Bytes(text.begin(), text.end()));
  expect_error(ExitCode::corrupt_input, {"plain file name"}, [&] { Dataset::open(folder_); });
}

TEST_F(Format, AnIndexThatDisagreesWithItsShardsIsRefused) {
  write_small(folder_);
  const DatasetIndex good = Dataset::open(folder_).index();
  DatasetIndex index = good;
  index.fields[0].row = Shape{6, 5, 1};
  expect_error(ExitCode::corrupt_input, {"'image'", "(4, 5, 6, 1)"},
               [&] { Split split(folder_, index, index.splits[0]); });
  index = good;
  index.fields[1].dtype = DType::i64;
  expect_error(ExitCode::corrupt_input, {"'label'", "i32"}, [&] { Split split(folder_, index, index.splits[0]); });
  index = good;
  index.fields.push_back({"depth", DType::u8, Shape{}});
  expect_error(ExitCode::corrupt_input, {"depth"}, [&] { Split split(folder_, index, index.splits[0]); });
  index = good;
  index.splits[0].shards[0].count = 3;
  expect_error(ExitCode::corrupt_input, {"'image'", "(4, 5, 6, 1)", "the index says 3 rows"},
               [&] { Split split(folder_, index, index.splits[0]); });
  index.splits[0] = {"train", 0, {}};
  expect_error(ExitCode::corrupt_input, {"empty"}, [&] { Split split(folder_, index, index.splits[0]); });
  expect_error(ExitCode::usage, {"no split 'test'", "train"}, [&] { Dataset::open(folder_).split("test"); });
}

TEST_F(Format, OnlyADataSetIsEverReplaced) {
  write_small(folder_);
  expect_error(ExitCode::usage, {folder_, "--overwrite"}, [&] { write_small(folder_); });
  write_small(folder_, {.rows = 7, .existing = Existing::replace});
  EXPECT_EQ(Dataset::open(folder_).split("train")->count(), 7);
  fs::create_directories(dir_ / "home");
  write_bytes(dir_ / "home/letter", {1});
  expect_error(ExitCode::usage, {"not a data set"},
               [&] { write_small(dir_ / "home", {.existing = Existing::replace}); });
  EXPECT_TRUE(fs::exists(dir_ / "home/letter"));
  fs::create_directories(dir_ / "vacant");
  write_small(dir_ / "vacant");
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(dir_.path())) ++entries;
  EXPECT_EQ(entries, 3U) << "hidden folders were left behind";
}

TEST_F(Format, TwoWritersOfOneFolderDoNotMix) {
  const StagedFolder first(folder_, Existing::refuse);
  expect_error(ExitCode::usage, {"another import"}, [&] { StagedFolder second(folder_, Existing::refuse); });
}

TEST_F(Format, WriterRefusesWrongCountsAndNames) {
  const auto options = [&](std::vector<FieldSpec> fields) {
    return WriterOptions{
        .folder = folder_, .name = "", .fields = std::move(fields), .class_names = {}, .shard_rows = 2};
  };
  EXPECT_THROW(DatasetWriter(options({})), Error);
  EXPECT_THROW(DatasetWriter(options({{"a/b", DType::u8, Shape{1}}})), Error);
  EXPECT_THROW(DatasetWriter(options({{"a", DType::u8, Shape{1}}, {"a", DType::u8, Shape{1}}})), Error);
  EXPECT_THROW(DatasetWriter(options({{"a", DType::u8, Shape{0}}})), Error);
  DatasetWriter writer(options({{"a", DType::u8, Shape{1}}}));
  expect_error(ExitCode::corrupt_input, {"empty"}, [&] { writer.begin_split("train", 0); });
  writer.begin_split("train", 3);
  const Bytes data(4, 1);
  const FieldBlock blocks[] = {{data.data()}};
  EXPECT_THROW(writer.append(4, blocks), Error);
  writer.append(2, blocks);
  EXPECT_THROW(writer.finish(Json::object()), Error);
  EXPECT_FALSE(fs::exists(folder_));
}

}  // namespace
}  // namespace trireme
