// The HDF5 wrapper: what is written is read back, also by HDF5's own tools, and bad files are Errors that say why.
#include "core/io/hdf5.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>

#include "core/io/mapped_file.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/child_process.hpp"

namespace trireme {
namespace {

class Hdf5 : public testing::Test {
 protected:
  TempDir dir_;
  std::string path_ = dir_ / "file.h5";
};

TEST_F(Hdf5, AttributesComeBack) {
  const std::vector<std::string> names = {"T-shirt/top", "Hose", "", "Überrock"};
  auto file = hdf5::File::create(path_);
  file.create_dataset("x", DType::f32, Shape{2});
  file.write_string("/", "text", "first");
  file.write_string("/", "text", "second");
  file.write_string("x", "empty", "");
  file.write_i64("x", "count", -5'000'000'000);
  file.write_f64("/", "rate", 0.1);
  file.write_strings("/", "classes", names);
  file.write_strings("/", "nobody", {});
  file.close();
  const auto back = hdf5::File::open(path_);
  EXPECT_EQ(back.read_string("/", "text"), "second");
  EXPECT_EQ(back.read_string("x", "empty"), "");
  EXPECT_EQ(back.read_i64("x", "count"), -5'000'000'000);
  EXPECT_EQ(back.read_f64("/", "rate"), 0.1);
  EXPECT_EQ(back.read_strings("/", "classes"), names);
  EXPECT_TRUE(back.read_strings("/", "nobody").empty());
  EXPECT_TRUE(back.has_attribute("x", "count"));
  EXPECT_FALSE(back.has_attribute("/", "count"));
  expect_error(ExitCode::corrupt_input, {path_, "count"}, [&] { back.read_i64("/", "count"); });
  expect_error(ExitCode::corrupt_input, {"rate", "integer"}, [&] { back.read_i64("/", "rate"); });
  expect_error(ExitCode::corrupt_input, {"rate", "text"}, [&] { back.read_string("/", "rate"); });
  expect_error(ExitCode::corrupt_input, {"nowhere"}, [&] { back.read_i64("nowhere", "count"); });
}

TEST_F(Hdf5, AThousandLongClassNamesComeBack) {
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i)
    names.push_back(std::string(static_cast<std::size_t>(i % 150), 'n') + std::to_string(i));
  auto file = hdf5::File::create(path_);
  file.write_strings("/", "classes", names);
  file.close();
  EXPECT_EQ(hdf5::File::open(path_).read_strings("/", "classes"), names);
}

TEST_F(Hdf5, EveryTypeKeepsItsNameShapeAndBytes) {
  const DType types[] = {DType::f32, DType::f64, DType::bf16, DType::f16,
                         DType::i32, DType::i64, DType::u8,   DType::u16};
  Bytes data(6 * 8);
  std::iota(data.begin(), data.end(), std::uint8_t{1});
  auto file = hdf5::File::create(path_);
  for (const DType type : types) {
    file.create_dataset(std::string(name_of(type)), type, Shape{3, 2});
    file.write_rows(std::string(name_of(type)), 0, 3, data.data());
  }
  file.close();
  const auto back = hdf5::File::open(path_);
  EXPECT_EQ(back.dataset_names().size(), std::size(types));
  const MappedFile map(path_, file_bytes(path_));
  for (const DType type : types) {
    const std::string name(name_of(type));
    EXPECT_EQ(back.info(name).dtype, type) << name;
    EXPECT_EQ(back.info(name).shape, (Shape{3, 2})) << name;
    const std::size_t bytes = 6 * size_of(type);
    Bytes read(bytes);
    back.read_rows(name, 0, 3, read.data());
    EXPECT_TRUE(std::equal(read.begin(), read.end(), data.begin())) << name;
    const std::int64_t offset = back.contiguous_offset(name);
    EXPECT_EQ(offset % 64, 0) << name;
    EXPECT_EQ(std::memcmp(map.data() + offset, data.data(), bytes), 0) << name;
  }
}

TEST_F(Hdf5, PartsOfRowsAreWrittenAndRead) {
  std::vector<std::int32_t> data(20), back(20, -1), middle(6, -1);
  std::iota(data.begin(), data.end(), 0);
  auto file = hdf5::File::create(path_);
  file.create_dataset("x", DType::i32, Shape{10, 2});
  file.write_rows("x", 7, 3, data.data() + 14);
  file.write_rows("x", 0, 7, data.data());
  file.write_rows("x", 5, 0, nullptr);
  EXPECT_THROW(file.write_rows("x", 8, 3, data.data()), Error);
  EXPECT_THROW(file.write_rows("x", -1, 2, data.data()), Error);
  file.close();
  const auto read = hdf5::File::open(path_);
  read.read_rows("x", 0, 10, back.data());
  EXPECT_EQ(back, data);
  read.read_rows("x", 4, 3, middle.data());
  EXPECT_EQ(middle, (std::vector<std::int32_t>{8, 9, 10, 11, 12, 13}));
}

TEST_F(Hdf5, EqualContentGivesEqualBytes) {
  for (const char* name : {"a.h5", "b.h5"}) {
    auto file = hdf5::File::create(dir_ / name);
    const double value = 2;
    file.create_dataset("x", DType::f64, Shape{1});
    file.write_rows("x", 0, 1, &value);
    file.write_string("x", "unit", "m");
    file.close();
    const std::time_t now = std::time(nullptr);
    while (std::time(nullptr) == now) ::usleep(10'000);  // a time stamp in the file would differ
  }
  EXPECT_EQ(read_bytes(dir_ / "a.h5"), read_bytes(dir_ / "b.h5"));
}

TEST_F(Hdf5, AFileCutAtAnyLengthIsRefused) {
  auto file = hdf5::File::create(path_);
  const std::vector<float> data(300, 1.5f);
  file.create_dataset("x", DType::f32, Shape{300});
  file.write_rows("x", 0, 300, data.data());
  file.write_string("/", "format", "trireme-shard");
  file.close();
  const Bytes whole = read_bytes(path_);
  for (std::size_t length = 0; length < whole.size(); length += length < 200 ? 1 : 37) {
    write_bytes(path_, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    expect_error(ExitCode::corrupt_input, {path_}, [&] { hdf5::File::open(path_); });
  }
}

TEST_F(Hdf5, MissingAndForeignFilesAreNamed) {
  expect_error(ExitCode::corrupt_input, {path_, "No such file"}, [&] { hdf5::File::open(path_); });
  expect_error(ExitCode::corrupt_input, {"regular file"}, [&] { hdf5::File::open(dir_.path().string()); });
  write_bytes(path_, Bytes(5000, 'x'));
  expect_error(ExitCode::corrupt_input, {path_, "not an HDF5 file"}, [&] { hdf5::File::open(path_); });
  expect_error(ExitCode::storage, {"/nowhere/file.h5"}, [&] { hdf5::File::create("/nowhere/file.h5"); });
}

// The library tries again at the end of a process what a full disk has refused it, and crashes: it must not come to
// that.
TEST_F(Hdf5, AFullDiskIsAnErrorAndTheProcessEndsInOrder) {
  for (const rlim_t limit : {100, 1000, 4000, 20'000}) {
    const int status = in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit most{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &most);
      auto file = hdf5::File::create(path_);
      for (int i = 0; i < 20; ++i) {
        file.create_dataset(std::to_string(i), DType::f32, Shape{5000});
        file.write_string(std::to_string(i), "text", "some text");
      }
      file.close();
    });
    EXPECT_EQ(status, static_cast<int>(ExitCode::storage)) << "limit " << limit;
  }
}

TEST_F(Hdf5, DamagedMetadataNeverCrashes) {
  auto file = hdf5::File::create(path_);
  const std::vector<std::int64_t> data(8, 7);
  file.create_dataset("x", DType::i64, Shape{8});
  file.write_rows("x", 0, 8, data.data());
  file.write_strings("x", "names", {"one", "two"});
  file.close();
  const Bytes whole = read_bytes(path_);
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes damaged = whole;
    damaged[at] ^= 0x10;
    write_bytes(path_, damaged);
    try {
      const auto back = hdf5::File::open(path_);
      std::vector<std::int64_t> read(8);
      back.read_rows("x", 0, 8, read.data());
      back.read_strings("x", "names");
      back.contiguous_offset("x");
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
    }
  }
  EXPECT_GT(refused, 100);  // superblock and object headers carry checksums
}

TEST_F(Hdf5, H5dumpReadsIt) {
  if (std::system("command -v h5dump >/dev/null 2>&1") != 0) GTEST_SKIP() << "skipped: no h5dump";
  auto file = hdf5::File::create(path_);
  file.create_dataset("tokens", DType::bf16, Shape{4});
  const std::uint16_t ones[] = {0x3f80, 0x3f80, 0x4000, 0xc000};  // 1, 1, 2, -2
  file.write_rows("tokens", 0, 4, ones);
  file.close();
  const std::string command = "h5dump -d tokens " + path_ + " > " + (dir_ / "dump") + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
  const Bytes bytes = read_bytes(dir_ / "dump");
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_NE(text.find("1, 1, 2, -2"), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme
