// What ranks find out about each other before they work: options, world size, checksums.
#include "comm/agreement.hpp"

#include <gtest/gtest.h>

#include <map>

#include "comm/environment.hpp"
#include "core/base/error.hpp"
#include "tests/comm/fake_ranks.hpp"

namespace trireme {
namespace {

TEST(Agreement, EqualOptionsInAnyOrderAgree) {
  EXPECT_EQ(disagreement({{{"a", "1"}, {"b", "2"}}, {{"b", "2"}, {"a", "1"}}}), "");
  EXPECT_EQ(disagreement({{}}), "");
}

TEST(Agreement, NamesOptionValuesAndRanks) {
  const NamedTexts usual{{"batch", "64"}, {"lr", "0.1"}};
  const auto text = disagreement({usual, usual, usual, {{"batch", "32"}, {"lr", "0.1"}}, usual});
  EXPECT_EQ(text, "batch is '64' on ranks 0-2, 4 and '32' on rank 3");
}

TEST(Agreement, AMissingOptionIsADifference) {
  EXPECT_EQ(disagreement({{{"amp", ""}}, {}}), "amp is '' on rank 0 and not given on rank 1");
}

TEST(Agreement, LongListsAreCut) {
  NamedTexts one, two;
  for (int i = 0; i < 9; ++i) {
    one.emplace_back(fmt::format("option{}", i), "a");
    two.emplace_back(fmt::format("option{}", i), "b");
  }
  const auto text = disagreement({one, two});
  EXPECT_NE(text.find("option4"), std::string::npos);
  EXPECT_EQ(text.find("option5"), std::string::npos);
  EXPECT_NE(text.find("and 4 more"), std::string::npos);
}

TEST(Agreement, FailsOnAllRanksWithTheSameText) {
  std::vector<std::string> texts(3);
  test::run_ranks(3, [&](const auto& comm) {
    try {
      check_agreement(*comm, {{"name with 3 words", comm->rank() == 2 ? "x y" : ""}});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::disagree);
      texts[static_cast<std::size_t>(comm->rank())] = error.what();
    }
  });
  EXPECT_NE(texts[0].find("name with 3 words is '' on ranks 0-1 and 'x y' on rank 2"), std::string::npos) << texts[0];
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(texts[0], texts[2]);
}

TEST(CheckSame, NamesTheFirstRankThatDiffers) {
  test::run_ranks(4, [](const auto& comm) {
    const auto plane = Tensor::zeros({1001}, DType::f32);
    check_same(*comm, plane, "the parameters");
    if (comm->rank() >= 2) plane.span<float>().back() = -0.0f;  // equal in value, not in bits
    try {
      check_same(*comm, plane, "the parameters");
      ADD_FAILURE() << "not noticed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::disagree);
      EXPECT_NE(std::string(error.what()).find("the parameters of rank 2"), std::string::npos) << error.what();
    }
  });
}

void expect_world(int size, const std::map<std::string, std::string>& variables, const std::string& complaint) {
  const Environment environment = [&](const char* name) {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  };
  if (complaint.empty()) {
    EXPECT_NO_THROW(check_world_size(size, environment));
    return;
  }
  try {
    check_world_size(size, environment);
    ADD_FAILURE() << "accepted where " << complaint << " was expected";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    const std::string text = error.what();
    EXPECT_NE(text.find(complaint), std::string::npos) << text;
    EXPECT_NE(text.find("srun --mpi=pmix"), std::string::npos) << "names the remedy: " << text;
  }
}

TEST(WorldSize, AWorldOfOneIsAnErrorWhenTheJobHasMore) {
  expect_world(1, {}, "");
  expect_world(1, {{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}, "SLURM_NTASKS=4");
  expect_world(1, {{"SLURM_PROCID", "2"}}, "SLURM_PROCID=2");
  expect_world(1, {{"PMI_SIZE", "2"}}, "PMI_SIZE=2");
  expect_world(1, {{"PMIX_RANK", "1"}}, "PMIX_RANK=1");
  expect_world(1, {{"OMPI_COMM_WORLD_SIZE", "8"}}, "OMPI_COMM_WORLD_SIZE=8");
}

TEST(WorldSize, OneRankOnPurposeIsFine) {
  expect_world(1, {{"OMPI_COMM_WORLD_SIZE", "1"}, {"SLURM_NTASKS", "4"}}, "");
  expect_world(1, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_NTASKS", "4"}}, "");
  expect_world(1, {{"SLURM_NTASKS", "1"}, {"SLURM_PROCID", "0"}}, "");
  expect_world(1, {{"SLURM_NTASKS", "nonsense"}}, "");
  expect_world(4, {{"SLURM_NTASKS", "4"}}, "");
  expect_world(2, {{"SLURM_NTASKS", "4"}}, "");
}

}  // namespace
}  // namespace trireme
