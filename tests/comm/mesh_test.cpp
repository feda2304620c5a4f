// The grid of ranks: arithmetic, refusals, and the axes of a world of one.
#include "comm/mesh.hpp"

#include <gtest/gtest.h>

#include <set>

#include "comm/self_communicator.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

TEST(MeshShape, TheDataAxisTakesWhatRemains) {
  EXPECT_EQ(MeshShape(1, {}).degree("data"), 1);
  EXPECT_EQ(MeshShape(12, {}).degree("data"), 12);
  EXPECT_EQ(MeshShape(12, {.pipe = 2, .tensor = 3}).degree("data"), 2);
}

TEST(MeshShape, CoordinatesAndGroupsNumberTheGrid) {
  const MeshShape shape(24, {.pipe = 2, .data = 2, .context = 3, .tensor = 2});
  std::set<std::array<int, 4>> seen;
  for (int rank = 0; rank < 24; ++rank) {
    std::array<int, 4> at{};
    for (std::size_t a = 0; a < 4; ++a) at[a] = shape.coordinate(rank, MeshShape::names[a]);
    EXPECT_EQ(((at[0] * 2 + at[1]) * 3 + at[2]) * 2 + at[3], rank) << "the last axis varies fastest";
    seen.insert(at);
    for (int other = 0; other < 24; ++other) {
      for (const auto axis : MeshShape::names) {
        bool only_there = true;
        for (const auto name : MeshShape::names) {
          if (name != axis && shape.coordinate(rank, name) != shape.coordinate(other, name)) only_there = false;
        }
        EXPECT_EQ(shape.group(rank, axis) == shape.group(other, axis), only_there)
            << rank << " " << other << " " << axis;
      }
    }
  }
  EXPECT_EQ(seen.size(), 24u);
}

void expect_refusal(int world, const MeshDegrees& degrees, const std::vector<std::string>& words) {
  try {
    const MeshShape shape(world, degrees);
    FAIL() << "accepted " << shape.text();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    for (const auto& word : words) EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(MeshShape, RefusalsSayTheProductAndTheRemedy) {
  expect_refusal(8, {.data = 3, .tensor = 2}, {"6", "8 ranks", "start 6 ranks"});
  expect_refusal(8, {.tensor = 3}, {"= 3", "8 ranks", "multiple of 3"});
  expect_refusal(2, {.tensor = 4}, {"multiple of 4"});
  expect_refusal(8, {.pipe = 0}, {"pipe", "0"});
  expect_refusal(8, {.data = -1}, {"data", "-1"});
  EXPECT_THROW(MeshShape(1, {}).degree("rows"), Error);
}

TEST(Mesh, AWorldOfOneHasAllAxes) {
  const auto world = std::make_shared<SelfCommunicator>();
  const Mesh mesh(world, {});
  for (const auto name : MeshShape::names) {
    EXPECT_EQ(mesh.axis(name).size(), 1) << name;
    EXPECT_EQ(mesh.coordinate(name), 0);
  }
  EXPECT_THROW(mesh.axis("rows"), Error);
}

}  // namespace
}  // namespace trireme
