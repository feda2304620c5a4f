// The checkpoint format: what is written is what is read, whatever the types, names and cuts.
#include <gtest/gtest.h>

#include <numeric>

#include "launcher/run/checkpoint_file.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

TEST(CheckpointFormat, round_trip) {
  TempDir dir;
  const CheckpointStore store(dir / "run/checkpoints");
  std::vector<float> a(1000);
  std::iota(a.begin(), a.end(), 0.5f);
  const std::string partial = store.begin(7);
  CheckpointManifest manifest;
  manifest.step = 7;
  manifest.ranks = 1;
  const PieceSource pieces[] = {{.plane = "param", .name = "0/w", .shape = {10, 100}, .count = 600, .data = a.data()},
                                {"param", "0/w", DType::f32, {10, 100}, 600, 400, a.data() + 600}};
  const WrittenFile written[] = {write_checkpoint_file(partial + "/rank_0000.h5", 7, pieces)};
  EXPECT_EQ(WrittenFile::from_text(written[0].to_text()).tensors, written[0].tensors);
  merge_written(manifest, written);
  const std::string path = store.commit(manifest);
  const CheckpointReader reader(path);
  const SavedTensor* tensor = reader.find("param", "0/w");
  ASSERT_NE(tensor, nullptr);
  std::vector<float> b(1000);
  reader.read(*tensor, 0, 1000, b.data());
  EXPECT_EQ(a, b);
  for (const auto& problem : verify_checkpoint(path)) ADD_FAILURE() << problem;
}

}  // namespace
}  // namespace trireme
