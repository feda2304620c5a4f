// Fields in deflated chunks: the same samples as without, also for HDF5 and in batches; damaged and forged chunks end
// in an Error and never in a crash.
#include "datasets/packed_field.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/io/file.hpp"
#include "core/io/hdf5.hpp"
#include "datasets/batch_filler.hpp"
#include "datasets/loader.hpp"
#include "datasets/shard_file.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

/// Memory with bytes behind each block that nobody may write.
class Fenced final : public Allocator {
 public:
  Device device() const override { return Device::cpu(); }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    blocks_.push_back({system_allocator(device()).allocate(bytes + fence), bytes});
    std::memset(blocks_.back().memory->data(), 0x5a, bytes + fence);
    return blocks_.back().memory;
  }
  bool whole() const {
    return std::ranges::all_of(blocks_, [](const Block& block) {
      const auto* const behind = static_cast<const std::uint8_t*>(block.memory->data()) + block.bytes;
      return std::all_of(behind, behind + fence, [](std::uint8_t byte) { return byte == 0x5a; });
    });
  }

 private:
  static constexpr std::size_t fence = 4096;
  struct Block {
    std::shared_ptr<Buffer> memory;
    std::size_t bytes;
  };
  std::vector<Block> blocks_;
};

class Packed : public testing::Test {
 protected:
  static constexpr std::int64_t rows = 700, shard_rows = 300;
  static std::vector<FieldSpec> fields() {
    return {{"image", DType::u8, Shape{40, 20, 3}},
            {"label", DType::i32, Shape{}},
            {"x", DType::f32, Shape{7}},
            {"y", DType::f64, Shape{2, 1}},
            {"half", DType::bf16, Shape{3}}};
  }
  /// Bytes of one row; some are random, most repeat.
  static Bytes row_of(const FieldSpec& field, std::int64_t row) {
    std::mt19937_64 random(static_cast<std::uint64_t>(row) * 31 + field.name.size());
    Bytes out(to_size(field.row_bytes()));
    if (field.name == "label") {
      out[0] = static_cast<std::uint8_t>(row % 10);
      return out;
    }
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = static_cast<std::uint8_t>(k % 3 == 0 ? random() : k);
    return out;
  }
  std::string write(const std::string& name, std::int64_t compress) const {
    DatasetWriter writer({.folder = dir_ / name,
                          .name = "set",
                          .fields = fields(),
                          .class_names = ten_classes(),
                          .shard_rows = shard_rows,
                          .compress = compress});
    writer.begin_split("train", rows);
    for (std::int64_t first = 0; first < rows; first += 70) {  // chunks of other sizes than blocks
      std::vector<Bytes> data(fields().size());
      std::vector<FieldBlock> blocks;
      for (std::size_t f = 0; f < data.size(); ++f) {
        for (std::int64_t row = first; row < first + 70; ++row) {
          const Bytes one = row_of(fields()[f], row);
          data[f].insert(data[f].end(), one.begin(), one.end());
        }
        blocks.push_back({data[f].data()});
      }
      writer.append(70, blocks);
    }
    writer.finish(Json::object({{"importer", "test"}}));
    return dir_ / name;
  }
  static void expect_all(const Split& split) {
    ASSERT_EQ(split.count(), rows);
    for (std::size_t f = 0; f < fields().size(); ++f)
      for (std::int64_t row = 0; row < rows; ++row) {
        Bytes found(to_size(fields()[f].row_bytes()));
        split.copy_row(static_cast<int>(f), row, reinterpret_cast<std::byte*>(found.data()));
        ASSERT_EQ(found, row_of(fields()[f], row)) << fields()[f].name << " of " << row;
      }
  }
  TempDir dir_;
};

TEST_F(Packed, RowsAreWhatTheyWere) {
  const std::string plain = write("plain", 0), packed = write("packed", 6);
  expect_all(*Dataset::open(plain).split("train"));
  expect_all(*Dataset::open(packed).split("train"));
  EXPECT_TRUE(verify_dataset(Dataset::open(packed)).problems.empty());
  const auto bytes = [](const std::string& folder) { return DatasetIndex::read(folder).splits[0].shards[0].bytes; };
  EXPECT_LT(bytes(packed), bytes(plain));
  EXPECT_NE(read_file(packed + "/index.json").find("\"version\": 2"), std::string::npos);
  EXPECT_NE(read_file(plain + "/index.json").find("\"version\": 1"), std::string::npos);
  EXPECT_EQ(DatasetIndex::read(packed).to_text(), read_file(packed + "/index.json"));
  expect_error(ExitCode::failure, {"'image'", "packed"}, [&] { Dataset::open(packed).split("train")->row(0, 0); });
  EXPECT_EQ(read_bytes(write("again", 6) + "/train-00001.h5"), read_bytes(packed + "/train-00001.h5"));
}

TEST_F(Packed, Hdf5ReadsThem) {
  const std::string folder = write("packed", 1);
  const hdf5::File file = hdf5::File::open(folder + "/train-00002.h5");
  for (const FieldSpec& field : fields()) {
    Bytes found(to_size(100 * field.row_bytes())), want;
    file.read_rows(field.name, 0, 100, found.data());
    for (std::int64_t row = 600; row < 700; ++row) {
      const Bytes one = row_of(field, row);
      want.insert(want.end(), one.begin(), one.end());
    }
    EXPECT_EQ(found, want) << field.name;
  }
}

TEST_F(Packed, BatchesAreTheSameBits) {
  const Samples plain = Dataset::open(write("plain", 0)).split("train");
  const Samples packed = Dataset::open(write("packed", 9)).split("train");
  const LoaderOptions options{.batch = 48,
                              .seed = 5,
                              .threads = 3,
                              .transforms = {{"image", {normalise({})}}, {"x", {normalise({.scale = 2})}}}};
  Loader one(plain, options), other(packed, options);
  Loader mixed(mix({{packed}}), options);
  for (int k = 0; k < 20; ++k) {
    const Batch a = one.next(), b = other.next(), c = mixed.next();
    for (const FieldSpec& field : fields()) {
      const Tensor &left = a.field(field.name), &right = b.field(field.name);
      ASSERT_EQ(left.shape(), right.shape());
      const auto bytes = to_size(left.shape().elements()) * size_of(left.dtype());
      ASSERT_EQ(std::memcmp(left.raw(), right.raw(), bytes), 0) << field.name << " of batch " << k;
      ASSERT_EQ(std::memcmp(left.raw(), c.field(field.name).raw(), bytes), 0) << field.name << " of batch " << k;
    }
  }
  Loader all(packed, {.batch = 64, .pass = Pass::evaluate, .fields = {"label"}});
  std::int64_t seen = 0;
  while (!all.finished()) {
    const Batch batch = all.next();
    for (const float weight : batch.weight().to_vector<float>()) seen += weight > 0 ? 1 : 0;
  }
  EXPECT_EQ(seen, rows);
}

TEST_F(Packed, NeighboursThatAreMixedInStayOutOfTheBatch) {
  // From position 1: the pairs of the first row and of the last have a half in the batches before and behind.
  const detail::BatchPlan plan(
      Dataset::open(write("packed", 1)).split("train"),
      {.batch = 16, .threads = 0, .start = 1, .transforms = {{"image", {normalise({})}}}, .mixing = {.mixup = 1}});
  Fenced memory;
  detail::LoaderSlot slot = plan.make_slot(memory);
  detail::BatchFiller(plan).fill(0, slot, false);
  EXPECT_TRUE(memory.whole());
}

TEST_F(Packed, ADamagedByteIsFoundAndKillsNobody) {
  const std::string folder = write("packed", 6), path = folder + "/train-00001.h5";
  const Bytes whole = read_bytes(path);
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 19993) {
    Bytes damaged = whole;
    damaged[at] ^= 0x10;
    write_bytes(path, damaged);
    EXPECT_FALSE(verify_dataset(Dataset::open(folder)).problems.empty()) << "byte " << at;
    try {
      expect_all(*Dataset::open(folder).split("train"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
      EXPECT_NE(std::string(error.what()).find("train-00001.h5"), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 5);
}

TEST_F(Packed, ForgedChunksAreRefused) {
  const std::string folder = write("packed", 6);
  const DatasetIndex good = DatasetIndex::read(folder);
  const auto refused = [&](const std::function<void(StoredArray&)>& change, const std::vector<std::string>& words) {
    DatasetIndex index = good;
    auto& arrays = index.splits[0].shards[0].arrays;
    const auto image = std::ranges::find(arrays, "image", &StoredArray::name);
    ASSERT_GT(image->chunks.size(), 0U);
    change(*image);
    // What a forger would do.
    const std::string path = folder + "/train-00000.h5";
    const MappedFile map(path, file_bytes(path));
    try {
      index.splits[0].shards[0].structure = structure_of(map, arrays, path).hex();
    } catch (const Error&) {
    }
    const std::string text = index.to_text();
    write_bytes(folder + "/index.json", Bytes(text.begin(), text.end()));
    expect_error(ExitCode::corrupt_input, words, [&] { expect_all(*Dataset::open(folder).split("train")); });
    try {
      EXPECT_FALSE(verify_dataset(Dataset::open(folder)).problems.empty());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input);
    }
  };
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  refused([](StoredArray& a) { a.chunks.emplace_back(); }, {"index.json", "chunks"});
  refused([](StoredArray& a) { a.chunk_rows = 301; }, {"index.json", "chunks of 301 rows"});
  refused([](StoredArray& a) { a.chunks[0].bytes = 0; }, {"chunk of 'image'"});
  refused([&](StoredArray& a) { a.chunks[0].offset = most; }, {"chunks"});
  refused([](StoredArray& a) { a.chunks[0].offset = std::int64_t{1} << 39; }, {"chunk of 'image'", "from byte"});
  refused([](StoredArray& a) { a.chunks[0].bytes -= 3; }, {"chunk 0 of 'image'", "damaged"});
  refused([](StoredArray& a) { a.chunks[0].offset += 1, a.chunks[0].bytes -= 1; }, {"chunk 0 of 'image'"});
  refused([](StoredArray& a) { a.chunk_rows = 300, a.chunks.resize(1); }, {"chunk 0 of 'image'"});
  refused(
      [](StoredArray& a) {
        // What lies behind a chunk up to the next multiple of 64 bytes is nobody's.
        const auto padded = std::ranges::find_if(a.chunks, [](const StoredChunk& c) { return c.bytes % 64 != 0; });
        ASSERT_NE(padded, a.chunks.end());
        ++padded->bytes;
      },
      {"of 'image'", "other bytes follow"});
  refused([](StoredArray& a) { a.dtype = DType::f64; }, {"'image'"});
  refused(
      [](StoredArray& a) {
        a.shape = {std::int64_t{1} << 40, 40, 20, 3}, a.chunk_rows = a.shape[0], a.chunks.resize(1);
      },
      {"'image'"});
  refused([](StoredArray& a) { a.chunks.resize(2), a.chunks[1] = a.chunks[0], a.chunk_rows = 150; }, {"same bytes"});
}

TEST_F(Packed, AnIndexWithoutPlacesAsksHdf5) {
  const std::string folder = write("packed", 6);
  DatasetIndex index = DatasetIndex::read(folder);
  for (auto& shard : index.splits[0].shards) shard.arrays.clear(), shard.structure.clear();
  const std::string text = index.to_text();
  write_bytes(folder + "/index.json", Bytes(text.begin(), text.end()));
  expect_all(*Dataset::open(folder).split("train"));
}

TEST_F(Packed, MoreSamplesThanBytesFitIntoAShard) {
  DatasetWriter writer({.folder = dir_ / "zeros", .fields = {{"bit", DType::u8, Shape{}}}, .compress = 9});
  const Bytes zeros(50'000, 0);
  writer.begin_split("train", 50'000);
  const FieldBlock block[] = {{zeros.data()}};
  writer.append(50'000, block);
  EXPECT_LT(writer.finish(Json::object({{"importer", "test"}})).splits[0].shards[0].bytes, 10'000);
  const Dataset dataset = Dataset::open(dir_ / "zeros");
  EXPECT_TRUE(verify_dataset(dataset).problems.empty());
  std::byte last{9};
  dataset.split("train")->copy_row(0, 49'999, &last);
  EXPECT_EQ(std::to_integer<int>(last), 0);
}

TEST(ChunkCache, KeepsWhatWasUsedLastUpToItsSize) {
  ChunkCache cache(100);
  const auto chunk = [](std::size_t bytes) { return std::make_shared<const std::vector<std::byte>>(bytes); };
  EXPECT_EQ(cache.keys(3), 0U);
  EXPECT_EQ(cache.keys(1), 3U);
  cache.keep(0, chunk(40));
  cache.keep(1, chunk(40));
  EXPECT_NE(cache.find(0), nullptr);
  cache.keep(2, chunk(40));
  EXPECT_EQ(cache.find(1), nullptr);
  EXPECT_NE(cache.find(0), nullptr);
  EXPECT_NE(cache.find(2), nullptr);
  cache.keep(2, chunk(40));
  EXPECT_EQ(cache.bytes(), 80U);
  cache.keep(3, chunk(101));
  EXPECT_EQ(cache.find(3), nullptr);
  EXPECT_EQ(cache.bytes(), 80U);
}

}  // namespace
}  // namespace trireme
