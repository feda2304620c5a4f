// Data sets from people who mean harm, and of older versions: whatever an index or a shard claims, reading ends in the
// samples or in an Error(corrupt_input), and HDF5, which crashes on forged files, is not shown them.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "core/io/file.hpp"
#include "datasets/shard_file.hpp"
#include "datasets/summary.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

class Forged : public testing::Test {
 protected:
  void SetUp() override { index_ = write_small(folder_, {.rows = 8, .shard_rows = 4}); }
  ShardEntry& shard(std::size_t i) { return index_.splits[0].shards[i]; }
  std::string path(std::size_t i) { return folder_ + "/" + shard(i).file; }
  void write_index() const {
    const std::string text = index_.to_text();
    write_bytes(folder_ + "/index.json", Bytes(text.begin(), text.end()));
  }
  void forget_arrays() {
    for (auto& entry : index_.splits[0].shards) entry.arrays.clear(), entry.structure.clear();
    write_index();
  }
  /// Whether a byte of the shard belongs to one of its arrays.
  bool in_array(std::size_t i, std::size_t at) {
    const auto holds = [&](const StoredArray& a) {
      return at >= to_size(a.offset) && at < to_size(a.offset + a.bytes());
    };
    return std::ranges::any_of(shard(i).arrays, holds);
  }
  void expect_all_samples() const {
    const auto split = Dataset::open(folder_).split("train");
    ASSERT_EQ(split->count(), 8);
    for (std::int64_t row = 0; row < 8; ++row) {
      std::int64_t id = -1;
      std::memcpy(&id, split->row(2, row), sizeof id);
      EXPECT_EQ(id, row);
      for (std::int64_t k = 0; k < 30; ++k) ASSERT_EQ(std::to_integer<int>(split->row(0, row)[k]), pixel_of(row, k));
    }
  }
  void expect_refused(const std::vector<std::string>& words) const {
    expect_error(ExitCode::corrupt_input, words, [&] { Dataset::open(folder_).split("train"); });
  }

  TempDir dir_;
  std::string folder_ = dir_ / "set";
  DatasetIndex index_;
};

TEST_F(Forged, SamplesAreReadWithoutHdf5) {
  for (const std::size_t i : {0, 1}) {
    Bytes bytes = read_bytes(path(i));
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (!in_array(i, at)) bytes[at] = 0xee;
    }
    write_bytes(path(i), bytes);
  }
  expect_refused({"train-00000.h5", "structure"});
  for (const std::size_t i : {0, 1}) {
    const MappedFile map(path(i), file_bytes(path(i)));
    shard(i).structure = structure_of(map, shard(i).arrays, path(i)).hex();
    shard(i).checksum = hash_bytes(map.data(), map.size()).hex();
  }
  write_index();
  expect_all_samples();
  EXPECT_TRUE(verify_dataset(Dataset::open(folder_)).problems.empty());
}

TEST_F(Forged, AChangedByteAroundTheSamplesIsRefusedAtOpening) {
  const Bytes whole = read_bytes(path(1));
  for (std::size_t at = 0; at < whole.size(); at += 7) {
    Bytes damaged = whole;
    damaged[at] ^= 0x20;
    write_bytes(path(1), damaged);
    if (in_array(1, at)) {
      EXPECT_EQ(Dataset::open(folder_).split("train")->count(), 8);
      EXPECT_FALSE(verify_dataset(Dataset::open(folder_)).problems.empty()) << "byte " << at;
    } else {
      expect_refused({"train-00001.h5", "structure", "import the data set again"});
    }
  }
}

TEST_F(Forged, AnIndexOfAnOlderVersionIsRead) {
  const std::string fingerprint = Dataset::open(folder_).fingerprint();
  forget_arrays();
  EXPECT_EQ(read_file(folder_ + "/index.json").find("structure"), std::string::npos);
  EXPECT_EQ(Dataset::open(folder_).fingerprint(), fingerprint);
  expect_all_samples();
  EXPECT_TRUE(verify_dataset(Dataset::open(folder_)).problems.empty());
  index_.fields[0].row = Shape{6, 5, 1};
  write_index();
  expect_refused({"'image'", "(4, 5, 6, 1)"});
}

TEST_F(Forged, WithoutArraysInTheIndexNoChangedShardReachesHdf5) {
  forget_arrays();
  const Bytes whole = read_bytes(path(0));
  for (std::size_t at = 0; at < whole.size(); at += 11) {
    Bytes damaged = whole;
    damaged[at] ^= 0x01;
    write_bytes(path(0), damaged);
    expect_refused({"the checksum of", "train-00000.h5"});
    const auto problems = verify_dataset(Dataset::open(folder_)).problems;
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_NE(problems[0].what.find("checksum"), std::string::npos) << problems[0].what;
  }
}

TEST_F(Forged, ArraysStayInTheirFileAndApart) {
  const DatasetIndex good = index_;
  const std::int64_t bytes = shard(0).bytes;
  const auto change = [&](const std::function<void(StoredArray&)>& how, const std::vector<std::string>& words) {
    index_ = good;
    ASSERT_EQ(shard(0).arrays[1].name, "image");
    how(shard(0).arrays[1]);
    write_index();
    expect_refused(words);
    EXPECT_FALSE(verify_dataset(Dataset::open(folder_)).problems.empty());
  };
  change([&](StoredArray& a) { a.offset = bytes - 1; }, {"'image'", "from byte"});
  change([&](StoredArray& a) { a.offset = std::numeric_limits<std::int64_t>::max(); }, {"'image'", "from byte"});
  change([&](StoredArray& a) { a.shape = {std::int64_t{1} << 50, 5, 1, 1}; }, {"'image'"});
  change([&](StoredArray& a) { a.shape = {8, 5, 6, 1}, a.offset = 0; }, {"train-00000.h5", "structure"});
  change([&](StoredArray& a) { a.offset = shard(0).arrays[2].offset - 60; }, {"same bytes"});
  change([](StoredArray& a) { a.name = "other"; }, {"no 'image'", "other"});
  change([](StoredArray& a) { a.dtype = DType::f64; }, {"'image'"});
}

TEST_F(Forged, SenselessNumbersAndNamesInAnIndexAreRefused) {
  const std::string good = read_file(folder_ + "/index.json");
  const auto with = [&](const std::string& old, const std::string& replacement) {
    std::string text = good;
    const std::size_t at = text.find(old);
    ASSERT_NE(at, std::string::npos) << old;
    text.replace(at, old.size(), replacement);
    write_bytes(folder_ + "/index.json", Bytes(text.begin(), text.end()));
    expect_error(ExitCode::corrupt_input, {"index.json"}, [&] { Dataset::open(folder_); });
  };
  for (const char* number : {"-8", "8.5", "1e300", "18446744073709551615", "true", "\"8\"", "null"}) {
    with("\"count\": 8", fmt::format("\"count\": {}", number));
  }
  with(fmt::format("\"bytes\": {}", shard(0).bytes), "\"bytes\": 9223372036854775807");  // a sum would overflow
  with("\"ragged\": false", "\"ragged\": 0");
  with("train-00000.h5", "../set/train-00000.h5");
  with("train-00000.h5", "train-00000.h5\\u0000");
  with("\"structure\"", "\"structures\"");
  with("\"provenance\": {", "\"provenance\": [], \"old\": {");
  with(shard(0).checksum, "no checksum");
  shard(0).count = shard(0).bytes + 1;
  index_.splits[0].count = shard(0).count + 4;
  write_index();
  expect_error(ExitCode::corrupt_input, {"index.json", "samples in"}, [&] { Dataset::open(folder_); });
}

TEST_F(Forged, ANestOfBracketsIsRefused) {
  std::string text = read_file(folder_ + "/index.json");
  text.replace(text.find("\"provenance\": {"), 15,
               "\"provenance\": {\"deep\": " + std::string(200'000, '[') + std::string(200'000, ']') + ", ");
  write_bytes(folder_ + "/index.json", Bytes(text.begin(), text.end()));
  expect_error(ExitCode::corrupt_input, {"index.json", "nested deeper"}, [&] { Dataset::open(folder_); });
}

}  // namespace
}  // namespace trireme
