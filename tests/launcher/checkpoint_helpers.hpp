// What the checkpoint tests share: tensors whose bytes are known, saved as several ranks would save them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "launcher/run/checkpoint_file.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {

/// A whole tensor in memory.
struct SavedValue {
  std::string plane;
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  Bytes bytes;
};

inline SavedValue random_value(const std::string& label, DType dtype, const Shape& shape, unsigned seed) {
  const std::size_t slash = label.find('/');
  std::mt19937 bits(seed);
  Bytes bytes(to_size(shape.elements()) * size_of(dtype));
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(bits());
  return {label.substr(0, slash), label.substr(slash + 1), dtype, shape, std::move(bytes)};
}

/// One of each type, names that are awkward somewhere, a scalar and a tensor of no elements.
inline std::vector<SavedValue> odd_values(unsigned seed = 1) {
  return {random_value("param/0.weight", DType::f32, {40, 30}, seed),
          random_value("moment1/0.weight", DType::f64, {40, 30}, seed + 1),
          random_value("param/block/0.qkv weight", DType::bf16, {3, 7, 11}, seed + 2),
          random_value("param/block%2F0.qkv weight", DType::f16, {515}, seed + 3),
          random_value("param/..", DType::i32, {}, seed + 4),
          random_value("state/Überlauf.zähler", DType::i64, {1, 1, 1, 1, 1, 9}, seed + 5),
          random_value("state/mask", DType::u8, {5001}, seed + 6),
          random_value("param/" + std::string(1000, 'n'), DType::f32, {2}, seed + 7),
          random_value("state/nothing", DType::f32, {3, 0, 5}, seed + 8)};
}

/// How one of `ranks` ranks would give its share: every second tensor is cut evenly, the others lie on one rank.
inline std::vector<PieceSource> share_of(const std::vector<SavedValue>& values, std::int64_t rank, std::int64_t ranks) {
  std::vector<PieceSource> pieces;
  for (std::size_t t = 0; t < values.size(); ++t) {
    const SavedValue& value = values[t];
    const std::int64_t elements = value.shape.elements();
    std::int64_t first = elements * rank / ranks, end = elements * (rank + 1) / ranks;
    if (t % 2 == 1) {
      const bool mine = static_cast<std::int64_t>(t) % ranks == rank;
      first = 0;
      end = mine ? elements : 0;
    }
    pieces.push_back({value.plane, value.name, value.dtype, value.shape, first, end - first,
                      value.bytes.data() + to_size(first) * size_of(value.dtype)});
  }
  return pieces;
}

inline CheckpointManifest plain_manifest(std::int64_t step, std::int64_t ranks) {
  CheckpointManifest manifest;
  manifest.step = step;
  manifest.samples = step * 64;
  manifest.ranks = ranks;
  manifest.version = "0.1.0";
  manifest.created = "2026-11-24T08:15:00Z";
  manifest.data = "00112233445566778899aabbccddeeff";
  manifest.options = {{"optim.rate", 0.001}, {"run.name", "größe"}, {"train.steps", 100}};
  manifest.trainer = {{"seed", 18446744073709551615U}, {"scale", -0.0}};
  return manifest;
}

/// Saves `values` as `ranks` ranks would, the last of them without any piece, and publishes it.
inline std::string save(const CheckpointStore& store, std::int64_t step, const std::vector<SavedValue>& values,
                        std::int64_t ranks = 3) {
  const std::string folder = store.begin(step);
  CheckpointManifest manifest = plain_manifest(step, ranks);
  std::vector<WrittenFile> written;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const auto pieces = rank + 1 < ranks ? share_of(values, rank, ranks - 1) : std::vector<PieceSource>{};
    const std::string file = fmt::format("{}/rank_{:04}.h5", folder, rank);
    written.push_back(WrittenFile::from_text(write_checkpoint_file(file, step, pieces).to_text()));
  }
  merge_written(manifest, written);
  return store.commit(manifest);
}

inline Bytes read_range(const CheckpointReader& reader, const SavedTensor& tensor, std::int64_t first,
                        std::int64_t count) {
  Bytes out(to_size(count) * size_of(tensor.dtype), 0xEE);
  reader.read(tensor, first, count, out.data());
  return out;
}

/// Reads everything as a run that resumes does, and checks that it is `values`.
inline void expect_values(const std::string& folder, const std::vector<SavedValue>& values) {
  const CheckpointReader reader(folder);
  EXPECT_EQ(reader.manifest().tensors.size(), values.size());
  for (const auto& value : values) {
    const SavedTensor* const tensor = reader.find(value.plane, value.name);
    ASSERT_NE(tensor, nullptr) << value.plane << "/" << value.name;
    EXPECT_EQ(tensor->dtype, value.dtype) << tensor->label();
    EXPECT_EQ(tensor->shape, value.shape) << tensor->label();
    EXPECT_EQ(read_range(reader, *tensor, 0, value.shape.elements()), value.bytes) << tensor->label();
  }
  for (const auto& file : reader.manifest().files) reader.check_structure(file);
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

/// The text of a manifest with these values, sealed by the checksum that belongs to them.
inline std::string sealed(Json json) {
  json.erase("checksum");
  json["checksum"] = hash_text(json.dump(1)).hex();
  return json.dump(1) + "\n";
}

}  // namespace trireme
