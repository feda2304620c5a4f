// Importers: real content comes through, every bad input is named, and whoever is killed or runs out of disk leaves the
// old data set or none.
#include "datasets/import_idx.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "core/base/random.hpp"
#include "datasets/shapes.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class Import : public testing::Test {
 protected:
  void SetUp() override {
    write_bytes(dir_ / "images", idx_images(23, 4, 5));
    write_bytes(dir_ / "labels", idx_labels(23));
    write_bytes(dir_ / "test-images", idx_images(7, 4, 5));
    write_bytes(dir_ / "test-labels", idx_labels(7));
  }
  IdxImport job() const {
    return {.images = dir_ / "images",
            .labels = dir_ / "labels",
            .test_images = dir_ / "test-images",
            .test_labels = dir_ / "test-labels",
            .out = dir_ / "out"};
  }
  void expect_refused(ExitCode code, const std::vector<std::string>& words) const {
    expect_error(code, words, [&] { import_idx(job()); });
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    EXPECT_FALSE(fs::exists(dir_ / ".out.partial"));
  }
  TempDir dir_;
};

TEST_F(Import, IdxComesThrough) {
  IdxImport wanted = job();
  wanted.shard_rows = 10;
  wanted.classes = ten_classes();
  import_idx(wanted);
  const Dataset dataset = Dataset::open(dir_ / "out");
  EXPECT_TRUE(verify_dataset(dataset).problems.empty());
  EXPECT_EQ(dataset.index().splits[0].shards.size(), 3U);
  EXPECT_EQ(dataset.class_names(), ten_classes());
  const auto check = [&](const char* name, std::int64_t count) {
    const auto split = dataset.split(name);
    ASSERT_EQ(split->count(), count);
    EXPECT_EQ(split->fields()[0].row, (Shape{4, 5, 1}));
    for (std::int64_t row = 0; row < count; ++row) {
      std::int32_t label = -1;
      std::memcpy(&label, split->row(split->field_index("label"), row), sizeof label);
      EXPECT_EQ(label, label_of(row));
      for (std::int64_t k = 0; k < 20; ++k) ASSERT_EQ(std::to_integer<int>(split->row(0, row)[k]), pixel_of(row, k));
    }
  };
  check("train", 23);
  check("test", 7);
}

TEST_F(Import, CompressedFilesGiveTheSameDataSet) {
  import_idx(job());
  const std::string plain = Dataset::open(dir_ / "out").index().splits[0].shards[0].checksum;
  const Bytes images = idx_images(23, 4, 5);
  gzFile file = gzopen((dir_ / "images").c_str(), "wb");
  gzwrite(file, images.data(), static_cast<unsigned>(images.size()));
  gzclose(file);
  IdxImport again = job();
  again.existing = Existing::replace;
  import_idx(again);
  EXPECT_EQ(Dataset::open(dir_ / "out").index().splits[0].shards[0].checksum, plain);
}

TEST_F(Import, ColourImagesKeepTheirChannels) {
  Bytes bytes = idx_header(8, {2, 3, 2, 3});
  for (std::uint8_t i = 0; i < 36; ++i) bytes.push_back(i);
  write_bytes(dir_ / "images", bytes);
  write_bytes(dir_ / "labels", idx_labels(2));
  IdxImport wanted = job();
  wanted.test_images = wanted.test_labels = "";
  import_idx(wanted);
  const auto split = Dataset::open(dir_ / "out").split("train");
  EXPECT_EQ(split->fields()[0].row, (Shape{3, 2, 3}));
  EXPECT_EQ(std::to_integer<int>(split->row(0, 1)[17]), 35);
  EXPECT_EQ(split->class_names(), (std::vector<std::string>{"0", "1", "2", "3"}));  // labels 0 and 3
}

TEST_F(Import, BadHeadersAreNamed) {
  write_bytes(dir_ / "images", idx_header(9, {23, 4, 5}));
  expect_refused(ExitCode::corrupt_input, {"images", "type 0x09", "0x08"});
  write_bytes(dir_ / "images", {'P', 'K', 3, 4, 0, 0, 0, 0});
  expect_refused(ExitCode::corrupt_input, {"images", "not an IDX file", "50 4b 03 04"});
  write_bytes(dir_ / "images", idx_labels(23));
  expect_refused(ExitCode::corrupt_input, {"images", "1 dims", "exchanged"});
  write_bytes(dir_ / "images", {});
  expect_refused(ExitCode::corrupt_input, {"images", "cut off", "header"});
  write_bytes(dir_ / "images", idx_header(8, {0, 4, 5}));
  expect_refused(ExitCode::corrupt_input, {"images", "empty"});
  write_bytes(dir_ / "images", idx_header(8, {0xffffffffU, 0xffffffffU, 0xffffffffU}));
  expect_refused(ExitCode::corrupt_input, {"images", "not plausible"});
  write_bytes(dir_ / "images", idx_header(8, {23, 0, 5}));
  expect_refused(ExitCode::corrupt_input, {"images", "not plausible"});
  fs::remove(dir_ / "images");
  expect_refused(ExitCode::corrupt_input, {"images", "No such file"});
}

TEST_F(Import, FilesOfTheWrongLengthAreRefused) {
  const Bytes images = idx_images(23, 4, 5);
  for (std::size_t length = 0; length < images.size(); length += 13) {
    write_bytes(dir_ / "images", Bytes(images.begin(), images.begin() + static_cast<std::ptrdiff_t>(length)));
    expect_refused(ExitCode::corrupt_input, {"images", "cut off"});
  }
  Bytes longer = images;
  longer.push_back(0);
  write_bytes(dir_ / "images", longer);
  expect_refused(ExitCode::corrupt_input, {"images", "other bytes"});
  // Compressed: the length is only known at the end.
  gzFile file = gzopen((dir_ / "images").c_str(), "wb");
  gzwrite(file, longer.data(), static_cast<unsigned>(longer.size()));
  gzclose(file);
  expect_refused(ExitCode::corrupt_input, {"images", "after its end"});
  file = gzopen((dir_ / "images").c_str(), "wb");
  gzwrite(file, longer.data(), static_cast<unsigned>(longer.size() - 9));
  gzclose(file);
  expect_refused(ExitCode::corrupt_input, {"images", "cut off"});
}

TEST_F(Import, LabelsAndCountsAreChecked) {
  Bytes labels = idx_labels(23);
  labels[8 + 17] = 10;
  write_bytes(dir_ / "labels", labels);
  IdxImport wanted = job();
  wanted.classes = ten_classes();
  expect_error(ExitCode::corrupt_input, {"labels", "label 10 of sample 17", "10 classes"}, [&] { import_idx(wanted); });
  EXPECT_FALSE(fs::exists(dir_ / "out"));
  write_bytes(dir_ / "labels", idx_labels(22));
  expect_refused(ExitCode::corrupt_input, {"23 images", "22 labels"});
  write_bytes(dir_ / "labels", idx_labels(23));
  Bytes test = idx_labels(7);
  test[8] = 10;
  write_bytes(dir_ / "test-labels", test);
  expect_refused(ExitCode::corrupt_input, {"test-labels", "label 10 of sample 0"});
  write_bytes(dir_ / "test-labels", idx_labels(7));
  write_bytes(dir_ / "test-images", idx_images(7, 5, 4));
  expect_refused(ExitCode::corrupt_input, {"(4, 5, 1)", "(5, 4, 1)"});
  IdxImport half = job();
  half.test_labels = "";
  expect_error(ExitCode::usage, {"pairs"}, [&] { import_idx(half); });
}

/// Runs `action` in a process of its own and returns its wait status; 100 + code for an Error.
template <class Action>
pid_t in_child(Action action) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int code = 0;
  try {
    action();
  } catch (const Error& error) {
    code = 100 + static_cast<int>(error.code());
  } catch (...) {
    code = 99;
  }
  ::_exit(code);
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_F(Import, AHeaderThatClaimsAGigabyteTakesNoGigabyte) {
  const Bytes header = idx_header(8, {1, 1U << 15, 1U << 15});
  gzFile file = gzopen((dir_ / "images").c_str(), "wb");  // compressed: the true length is only known at the end
  gzwrite(file, header.data(), static_cast<unsigned>(header.size()));
  gzclose(file);
  write_bytes(dir_ / "labels", idx_labels(1));
  const auto most_memory = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;  // in KiB
  };
  const int status = wait_for(in_child([&] {
    const long before = most_memory();
    IdxImport wanted = job();
    wanted.test_images = wanted.test_labels = "";
    expect_error(ExitCode::corrupt_input, {"images", "cut off"}, [&] { import_idx(wanted); });
    require(!HasFailure() && most_memory() - before < 256 << 10, "the import took {} KiB", most_memory() - before);
  }));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Import, KilledAtAnyStageTheOldDataSetStays) {
  const std::string out = dir_ / "set";
  write_small(out, {.rows = 6});
  const std::string before = Dataset::open(out).fingerprint();
  for (int stage = 0; stage <= 12; ++stage) {
    int said[2];
    ASSERT_EQ(::pipe(said), 0);
    const pid_t child = in_child([&] {
      const auto reached = [&](int here) {
        if (here != stage) return;
        [[maybe_unused]] const auto n = ::write(said[1], "x", 1);
        for (;;) ::pause();
      };
      DatasetWriter writer({.folder = out,
                            .fields = {{"id", DType::i64, Shape{}}},
                            .class_names = {},
                            .shard_rows = 4,
                            .existing = Existing::replace});
      reached(0);
      writer.begin_split("train", 11);
      for (std::int64_t row = 0; row < 11; ++row) {
        const FieldBlock blocks[] = {{&row}};
        writer.append(1, blocks);
        reached(static_cast<int>(row) + 1);
      }
      reached(12);
    });
    char byte = 0;
    ASSERT_EQ(::read(said[0], &byte, 1), 1);
    ::kill(child, SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(wait_for(child)));
    ::close(said[0]);
    ::close(said[1]);
    EXPECT_EQ(Dataset::open(out).fingerprint(), before);
    EXPECT_TRUE(fs::exists(dir_ / ".set.partial"));
  }
  write_small(out, {.rows = 8, .existing = Existing::replace});  // takes the leftovers away
  EXPECT_FALSE(fs::exists(dir_ / ".set.partial"));
  EXPECT_EQ(Dataset::open(out).split("train")->count(), 8);
  EXPECT_EQ(std::distance(fs::directory_iterator(out), fs::directory_iterator()), 3);
}

TEST_F(Import, KilledAtARandomInstantItIsOldOrNewAndWhole) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 bits(seed);
  const std::string out = dir_ / "set";
  generate_shapes({.out = out, .count = 64, .test_count = 8, .seed = 1});
  const std::string old_content = Dataset::open(out).fingerprint();
  generate_shapes({.out = dir_ / "new/set", .count = 96, .test_count = 8, .seed = 2});
  const std::string new_content = Dataset::open(dir_ / "new/set").fingerprint();
  for (int round = 0; round < 40; ++round) {
    generate_shapes({.out = out, .count = 64, .test_count = 8, .seed = 1, .existing = Existing::replace});
    const pid_t child = in_child(
        [&] { generate_shapes({.out = out, .count = 96, .test_count = 8, .seed = 2, .existing = Existing::replace}); });
    ::usleep(static_cast<useconds_t>(bits() % 20'000));
    ::kill(child, SIGKILL);
    wait_for(child);
    const Dataset dataset = Dataset::open(out);
    EXPECT_TRUE(dataset.fingerprint() == old_content || dataset.fingerprint() == new_content);
    EXPECT_TRUE(verify_dataset(dataset).problems.empty());
  }
}

TEST_F(Import, AFullDiskIsAStorageErrorAndLeavesNothing) {
  const std::string out = dir_ / "set";
  for (const rlim_t limit : {200, 3000, 60'000}) {
    const int status = wait_for(in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit most{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &most);  // writes beyond it fail as they do on a full disk
      write_small(out, {.rows = 4000, .shard_rows = 4000});
    }));
    ASSERT_TRUE(WIFEXITED(status)) << "limit " << limit;
    EXPECT_EQ(WEXITSTATUS(status), 100 + static_cast<int>(ExitCode::storage)) << "limit " << limit;
    EXPECT_FALSE(fs::exists(out));
    EXPECT_FALSE(fs::exists(dir_ / ".set.partial"));
  }
}

TEST_F(Import, ShapesAreDeterministicAndHoldEveryClass) {
  generate_shapes({.out = dir_ / "a", .name = "s", .count = 200, .test_count = 20, .seed = 5});
  generate_shapes({.out = dir_ / "b", .name = "s", .count = 200, .test_count = 20, .seed = 5, .shard_rows = 0});
  generate_shapes({.out = dir_ / "c", .name = "s", .count = 200, .test_count = 0, .seed = 6});
  EXPECT_EQ(Dataset::open(dir_ / "a").fingerprint(), Dataset::open(dir_ / "b").fingerprint());
  EXPECT_FALSE(Dataset::open(dir_ / "c").has_split("test"));
  const auto split = Dataset::open(dir_ / "a").split("train"), other = Dataset::open(dir_ / "c").split("train");
  EXPECT_NE(std::memcmp(split->row(0, 0), other->row(0, 0), 784), 0);
  std::vector<int> seen(10, 0);
  for (std::int64_t row = 0; row < 200; ++row) {
    std::int32_t label = -1;
    std::memcpy(&label, split->row(1, row), sizeof label);
    ++seen.at(to_size(label));
  }
  for (const int times : seen) EXPECT_GT(times, 5);
}

// The nearest of the class means of clean, centred drawings is right more often than chance allows: labels fit images.
TEST_F(Import, ShapesOfAClassLookAlike) {
  const ShapesOptions options{.out = "", .size = 16, .noise = 0.05};
  const std::uint64_t stream = random_key("test", 1);
  std::vector<std::vector<double>> mean(10, std::vector<double>(256, 0));
  std::vector<double> count(10, 0);
  std::vector<std::uint8_t> pixels(256);
  for (std::int64_t i = 0; i < 4000; ++i) {
    const auto label = to_size(draw_shape(options, stream, i, pixels.data()));
    for (std::size_t k = 0; k < 256; ++k) mean[label][k] += pixels[k];
    count[label] += 1;
  }
  int right = 0;
  for (std::int64_t i = 4000; i < 5000; ++i) {
    const auto label = to_size(draw_shape(options, stream, i, pixels.data()));
    std::size_t best = 0;
    double best_product = -2;
    for (std::size_t c = 0; c < 10; ++c) {
      double product = 0, squares = 0, own = 0;
      for (std::size_t k = 0; k < 256; ++k) {
        const double m = mean[c][k] / count[c] - 90, p = pixels[k] - 90.0;
        product += m * p, squares += m * m, own += p * p;
      }
      const double cosine = product / std::sqrt(squares * own);
      if (cosine > best_product) best_product = cosine, best = c;
    }
    right += best == label;
  }
  EXPECT_GT(right, 200) << "of 1000; chance is 100";
}

TEST_F(Import, ShapesRefuseSenselessSizes) {
  for (const ShapesOptions& bad :
       {ShapesOptions{.out = dir_ / "x", .count = 0}, ShapesOptions{.out = dir_ / "x", .test_count = -1},
        ShapesOptions{.out = dir_ / "x", .size = 2}, ShapesOptions{.out = dir_ / "x", .noise = 2}}) {
    EXPECT_THROW(generate_shapes(bad), Error);
  }
}

}  // namespace
}  // namespace trireme
