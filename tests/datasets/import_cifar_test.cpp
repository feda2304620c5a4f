// CIFAR's binary files: pixels and labels come through, in folders and file by file; what is damaged is named.
#include "datasets/import_cifar.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t pixels = 3072, plane = 1024;

std::uint8_t value_of(std::size_t record, std::size_t channel, std::size_t place) {
  return static_cast<std::uint8_t>(record * 31 + channel * 101 + place * 7);
}

/// Records whose label bytes are `labels` (each of `per_record` bytes).
Bytes records(const Bytes& labels, std::size_t per_record, std::size_t first = 0) {
  Bytes out;
  for (std::size_t r = 0; r < labels.size() / per_record; ++r) {
    for (std::size_t k = 0; k < per_record; ++k) out.push_back(labels[r * per_record + k]);
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t p = 0; p < plane; ++p) out.push_back(value_of(first + r, c, p));
  }
  return out;
}

std::int32_t label_at(const Split& split, std::int64_t row) {
  std::int32_t label = -1;
  std::memcpy(&label, split.row(split.field_index("label"), row), sizeof label);
  return label;
}

class ImportCifar : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_ / name; }
  CifarImport job(const std::vector<std::string>& sources) const { return {.sources = sources, .out = dir_ / "out"}; }
  void expect_refused(const CifarImport& import, const std::vector<std::string>& words) const {
    expect_error(ExitCode::corrupt_input, words, [&] { import_cifar(import); });
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    EXPECT_FALSE(fs::exists(dir_ / ".out.partial"));
  }
  TempDir dir_;
};

TEST_F(ImportCifar, AFolderComesThrough) {
  const fs::path folder = path("cifar");
  fs::create_directory(folder);
  write_bytes(folder / "data_batch_2.bin", records({5, 9}, 1, 3));
  write_bytes(folder / "data_batch_1.bin", records({3, 0, 7}, 1));
  write_bytes(folder / "test_batch.bin", records({1}, 1, 9));
  const std::string names = "airplane\nautomobile\r\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
  write_bytes(folder / "batches.meta.txt", Bytes(names.begin(), names.end()));
  import_cifar(job({folder.string()}));
  const Dataset dataset = Dataset::open(path("out"));
  EXPECT_TRUE(verify_dataset(dataset).problems.empty());
  ASSERT_EQ(dataset.class_names().size(), 10U);
  EXPECT_EQ(dataset.class_names()[1], "automobile");
  const auto train = dataset.split("train");
  ASSERT_EQ(train->count(), 5);
  EXPECT_EQ(train->fields()[0].row, (Shape{32, 32, 3}));
  const std::vector<std::int32_t> labels{3, 0, 7, 5, 9};
  for (std::int64_t row = 0; row < 5; ++row) {
    EXPECT_EQ(label_at(*train, row), labels[static_cast<std::size_t>(row)]);
    const std::byte* image = train->row(0, row);
    for (std::size_t k = 0; k < pixels; ++k)
      ASSERT_EQ(std::to_integer<int>(image[k]), value_of(static_cast<std::size_t>(row), k % 3, k / 3));
  }
  EXPECT_EQ(dataset.split("test")->count(), 1);
}

TEST_F(ImportCifar, TheHundredClassesHaveTwoLabels) {
  write_bytes(path("train.bin"), records({4, 99, 19, 0}, 2));
  CifarImport fine = job({path("train.bin")});
  import_cifar(fine);
  EXPECT_EQ(Dataset::open(path("out")).class_names().size(), 100U);
  EXPECT_EQ(label_at(*Dataset::open(path("out")).split("train"), 0), 99);
  CifarImport coarse = fine;
  coarse.labels = CifarImport::Labels::coarse;
  coarse.existing = Existing::replace;
  import_cifar(coarse);
  EXPECT_EQ(Dataset::open(path("out")).class_names().size(), 20U);
  EXPECT_EQ(label_at(*Dataset::open(path("out")).split("train"), 1), 19);
}

TEST_F(ImportCifar, DamagedFilesAreNamed) {
  write_bytes(path("good.bin"), records({1, 2}, 1));
  Bytes cut = records({1, 2}, 1);
  cut.pop_back();
  write_bytes(path("cut.bin"), cut);
  expect_refused(job({path("cut.bin")}), {"cut.bin", "6145 bytes"});
  write_bytes(path("label.bin"), records({1, 10}, 1));
  expect_refused(job({path("good.bin"), path("label.bin")}), {"label.bin", "label 10 of record 1"});
  write_bytes(path("hundred.bin"), records({1, 2}, 2));
  expect_refused(job({path("good.bin"), path("hundred.bin")}), {"hundred.bin", "different sets"});
  write_bytes(path("empty.bin"), {});
  expect_refused(job({path("empty.bin")}), {"empty.bin"});
  expect_refused(job({path("none.bin")}), {"none.bin"});
  fs::create_directory(path("folder"));
  expect_refused(job({path("folder")}), {"data_batch_1.bin"});
}

}  // namespace
}  // namespace trireme
