// What the data set tests share: files in the IDX format, a small data set whose content is a known function of the
// sample's number, a transform that fails for one of them, and a check that a call ends in an Error that says the right
// thing.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "datasets/dataset.hpp"
#include "datasets/transform.hpp"
#include "datasets/writer.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {

using Bytes = std::vector<std::uint8_t>;

inline void write_bytes(const std::string& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

/// Mode "wb", or "ab": a second member behind those that are there.
inline void write_gzip(const std::string& path, const Bytes& bytes, const char* mode = "wb") {
  gzFile file = gzopen(path.c_str(), mode);
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())), static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

inline Bytes read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Runs `action`, which must throw an Error with `code` whose text has all of `words`.
template <class Action>
void expect_error(ExitCode code, const std::vector<std::string>& words, Action&& action) {
  try {
    action();
    ADD_FAILURE() << "no error; wanted one with: " << (words.empty() ? "" : words.front());
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    for (const auto& word : words)
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << word << " in: " << error.what();
  }
}

inline Bytes idx_header(std::uint8_t type, const std::vector<std::uint32_t>& extents) {
  Bytes out{0, 0, type, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t e : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(e >> shift));
  }
  return out;
}

inline std::uint8_t pixel_of(std::int64_t row, std::int64_t k) { return static_cast<std::uint8_t>(row * 7 + k * 3); }
inline std::int32_t label_of(std::int64_t row) { return static_cast<std::int32_t>(row * 3 % 10); }

/// Images (count, height, width) by pixel_of().
inline Bytes idx_images(std::uint32_t count, std::uint32_t height, std::uint32_t width) {
  Bytes out = idx_header(8, {count, height, width});
  for (std::uint32_t row = 0; row < count; ++row) {
    for (std::uint32_t k = 0; k < height * width; ++k) out.push_back(pixel_of(row, k));
  }
  return out;
}

/// Labels by label_of().
inline Bytes idx_labels(std::uint32_t count) {
  Bytes out = idx_header(8, {count});
  for (std::uint32_t row = 0; row < count; ++row) out.push_back(static_cast<std::uint8_t>(label_of(row)));
  return out;
}

inline std::vector<std::string> ten_classes() { return {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}; }

struct SmallDataset {
  std::int64_t rows = 10;
  std::int64_t shard_rows = 4;
  Shape image = {5, 6, 1};
  Existing existing = Existing::refuse;
  std::vector<std::string> classes = ten_classes();
};

/// Split "train" with image u8 by pixel_of(), label i32 by label_of(), id i64 = the sample's number.
inline DatasetIndex write_small(const std::string& folder, const SmallDataset& small = {}) {
  DatasetWriter writer(
      {.folder = folder,
       .name = "",
       .fields = {{"image", DType::u8, small.image}, {"label", DType::i32, Shape{}}, {"id", DType::i64, Shape{}}},
       .class_names = small.classes,
       .shard_rows = small.shard_rows,
       .existing = small.existing});
  writer.begin_split("train", small.rows);
  const std::int64_t pixels = small.image.elements();
  for (std::int64_t row = 0; row < small.rows; ++row) {
    Bytes image;
    for (std::int64_t k = 0; k < pixels; ++k) image.push_back(pixel_of(row, k));
    const std::int32_t label = label_of(row);
    const FieldBlock blocks[] = {{image.data()}, {&label}, {&row}};
    writer.append(1, blocks);
  }
  return writer.finish({{"importer", "test"}, {"date", utc_now()}});
}

inline Samples open_small(const std::string& folder) { return Dataset::open(folder).split("train"); }

/// Fails when a row begins with a given pixel, else copies.
class Refuse final : public Transform {
 public:
  explicit Refuse(std::uint8_t pixel) : pixel_(pixel) {}
  RowType output(const RowType& in) const override { return in; }
  void apply(const TransformInput& in, std::byte* out) const override {
    if (std::to_integer<std::uint8_t>(in.data[0]) == pixel_) fail(ExitCode::numeric, "pixel {} refused", pixel_);
    std::memcpy(out, in.data, in.type.bytes());
  }

 private:
  std::uint8_t pixel_;
};

}  // namespace trireme
