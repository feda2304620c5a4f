// A checkpoint written by version 1 of the format, kept in tests/golden/checkpoint_v1, must load for ever. A new
// version gets a folder of its own beside it: raise checkpoint_version, add its values below, run this test once with
// TRIREME_WRITE_GOLDEN=1 and commit tests/golden/checkpoint_vN; the old folders are never written again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/launcher/checkpoint_helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// Element i of the tensors of a checkpoint of that version, by rules that need no file.
float weight(std::int64_t i) { return static_cast<float>(i) * 0.5f - 3.0f; }
double moment(std::int64_t i) { return 1.0 / static_cast<double>(i + 1); }
std::int64_t counter(std::int64_t i) { return (std::int64_t{1} << 40) + i; }

std::string folder_of(std::int64_t version) {
  return fmt::format("{}/tests/golden/checkpoint_v{}", TRIREME_SOURCE_DIR, version);
}

void write_golden(const std::string& folder) {
  std::vector<float> w(12);
  std::vector<double> m(12);
  std::vector<BFloat16> b(3);
  const std::int64_t n[] = {counter(0), counter(1)};
  for (std::int64_t i = 0; i < 12; ++i) w[to_size(i)] = weight(i);
  for (std::int64_t i = 0; i < 12; ++i) m[to_size(i)] = moment(i);
  for (std::int64_t i = 0; i < 3; ++i) b[to_size(i)] = BFloat16(weight(i));
  const PieceSource first[] = {{"param", "0.weight", DType::f32, {4, 3}, 0, 7, w.data()},
                               {"param", "block/0.bias", DType::bf16, {3}, 0, 3, b.data()},
                               {"moment1", "0.weight", DType::f64, {4, 3}, 0, 0, nullptr},
                               {"state", "empty", DType::u8, {0}, 0, 0, nullptr}};
  const PieceSource second[] = {{"param", "0.weight", DType::f32, {4, 3}, 7, 5, w.data() + 7},
                                {"moment1", "0.weight", DType::f64, {4, 3}, 0, 12, m.data()},
                                {"state", "zähler", DType::i64, {2}, 0, 2, n}};
  const CheckpointStore store(folder);
  const std::string partial = store.begin(7);
  const WrittenFile written[] = {write_checkpoint_file(partial + "/rank_0000.h5", 7, first),
                                 write_checkpoint_file(partial + "/rank_0001.h5", 7, second)};
  CheckpointManifest manifest = plain_manifest(7, 2);
  merge_written(manifest, written);
  store.commit(manifest);
}

template <class T>
std::vector<T> all_of(const CheckpointReader& reader, const std::string& plane, const std::string& name) {
  const SavedTensor* const tensor = reader.find(plane, name);
  require(tensor != nullptr && tensor->dtype == dtype_of<T>, "no {}/{} of that type", plane, name);
  std::vector<T> out(to_size(tensor->shape.elements()));
  reader.read(*tensor, 0, tensor->shape.elements(), out.data());
  return out;
}

void expect_golden(const CheckpointReader& reader) {
  const auto w = all_of<float>(reader, "param", "0.weight");
  const auto m = all_of<double>(reader, "moment1", "0.weight");
  const auto b = all_of<BFloat16>(reader, "param", "block/0.bias");
  ASSERT_EQ(w.size(), 12U);
  ASSERT_EQ(m.size(), 12U);
  for (std::int64_t i = 0; i < 12; ++i) EXPECT_EQ(w[to_size(i)], weight(i));
  for (std::int64_t i = 0; i < 12; ++i) EXPECT_EQ(m[to_size(i)], moment(i));
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(static_cast<float>(b.at(to_size(i))), weight(i));
  EXPECT_EQ(all_of<std::int64_t>(reader, "state", "zähler"), (std::vector<std::int64_t>{counter(0), counter(1)}));
  EXPECT_TRUE(all_of<std::uint8_t>(reader, "state", "empty").empty());
  EXPECT_EQ(reader.find("param", "0.weight")->shape, (Shape{4, 3}));
  const CheckpointManifest& manifest = reader.manifest();
  EXPECT_EQ(manifest.step, 7);
  EXPECT_EQ(manifest.samples, 448);
  EXPECT_EQ(manifest.ranks, 2);
  EXPECT_EQ(manifest.data, "00112233445566778899aabbccddeeff");
  EXPECT_EQ(manifest.options.at("run.name"), "größe");
  EXPECT_EQ(manifest.trainer.at("seed"), 18446744073709551615U);
}

class Golden : public testing::TestWithParam<int> {};

TEST_P(Golden, loads_with_its_values) {
  const std::string folder = folder_of(GetParam());
  if (std::getenv("TRIREME_WRITE_GOLDEN") != nullptr && !fs::exists(folder)) write_golden(folder);
  const std::string path = folder + "/step_00000007";
  ASSERT_TRUE(fs::exists(path)) << "the checkpoint of version " << GetParam() << " is gone";
  expect_golden(CheckpointReader(path));
  EXPECT_EQ(joined(verify_checkpoint(path)), "");
}

INSTANTIATE_TEST_SUITE_P(Version, Golden, testing::Range(1, static_cast<int>(checkpoint_version) + 1));

TEST(GoldenNow, todays_writer_gives_the_same_values) {
  TempDir dir;
  write_golden(dir / "c");
  expect_golden(CheckpointReader(dir / "c/step_00000007"));
}

}  // namespace
}  // namespace trireme
