// Which device each rank gets, for hosts with enough GPUs, with too few, with none and mixed.
#include "launcher/run/device_choice.hpp"

#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace trireme {
namespace {

using Places = std::vector<std::string>;

RankView rank_on(const std::string& host, const Places& gpus) {
  return {.host = host, .gpus = gpus, .reason = gpus.empty() ? "no NVIDIA driver" : ""};
}

std::vector<Device> chosen(const std::string& wanted, const std::vector<RankView>& ranks) {
  return choose_devices(DeviceRequest::parse(wanted), ranks).of_ranks;
}

void expect_refused(const DeviceRequest& request, const std::vector<RankView>& ranks,
                    const std::vector<std::string>& words) {
  try {
    choose_devices(request, ranks);
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    for (const std::string& word : words)
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << word << " is missing in: " << error.what();
  }
}

const Places two{"0000:17:00.0", "0000:65:00.0"}, one{"0000:17:00.0"}, none;

TEST(DeviceChoice, TextsAreParsedAndOthersNamed) {
  EXPECT_EQ(DeviceRequest::parse("auto").kind, DeviceRequest::Kind::automatic);
  EXPECT_EQ(DeviceRequest::parse("cpu").kind, DeviceRequest::Kind::cpu);
  EXPECT_FALSE(DeviceRequest::parse("cuda").index.has_value());
  EXPECT_EQ(DeviceRequest::parse("cuda:3").index, 3);
  for (const char* bad : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", ""}) {
    try {
      DeviceRequest::parse(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find("cuda:0"), std::string::npos) << error.what();
    }
  }
}

TEST(DeviceChoice, EachRankOfAHostTakesAGpuOfItsOwn) {
  const std::vector<RankView> ranks{rank_on("a", two), rank_on("b", two), rank_on("a", two), rank_on("b", two)};
  const std::vector<Device> want{Device::cuda(0), Device::cuda(0), Device::cuda(1), Device::cuda(1)};
  EXPECT_EQ(chosen("auto", ranks), want);
  EXPECT_EQ(chosen("cuda", ranks), want);
  EXPECT_EQ(chosen("cpu", ranks), std::vector<Device>(4, Device::cpu()));
}

/// As Slurm does: each rank is shown one GPU, which it calls number 0.
TEST(DeviceChoice, RanksThatSeeDifferentGpusDoNotRivalEachOther) {
  const std::vector<RankView> ranks{rank_on("a", {two[0]}), rank_on("a", {two[1]})};
  EXPECT_EQ(chosen("auto", ranks), std::vector<Device>(2, Device::cuda(0)));
  // Lists that overlap hide that both mean one GPU.
  expect_refused({.kind = DeviceRequest::Kind::cuda}, {rank_on("a", two), rank_on("a", {two[0]})},
                 {"ranks 0 and 1", two[0], "--share-gpu"});
}

TEST(DeviceChoice, WithoutGpusTheCpuComputesAndTheReasonIsTold) {
  const DeviceChoice choice = choose_devices({}, {rank_on("a", none), rank_on("b", none)});
  EXPECT_EQ(choice.of_ranks, std::vector<Device>(2, Device::cpu()));
  EXPECT_EQ(choice.note, "no GPU: using CPU (no NVIDIA driver)");
}

TEST(DeviceChoice, TooFewGpusEverywhereMeanTheCpuUnlessTheyAreShared) {
  const std::vector<RankView> ranks{rank_on("a", one), rank_on("a", one), rank_on("b", one), rank_on("b", one)};
  const DeviceChoice choice = choose_devices({}, ranks);
  EXPECT_EQ(choice.of_ranks, std::vector<Device>(4, Device::cpu()));
  EXPECT_NE(choice.note.find("2 ranks on a for 1 GPU"), std::string::npos) << choice.note;
  const DeviceRequest shared{.sharing = DeviceRequest::Sharing::allowed};
  EXPECT_EQ(choose_devices(shared, ranks).of_ranks, std::vector<Device>(4, Device::cuda(0)));
  expect_refused({.kind = DeviceRequest::Kind::cuda}, ranks, {"2 ranks on a for 1 GPU", "--share-gpu"});
}

TEST(DeviceChoice, AMixtureOfHostsIsAnErrorThatNamesThem) {
  expect_refused({}, {rank_on("alpha", one), rank_on("beta", none)},
                 {"rank 0 on alpha", "rank 1 on beta", "--device cpu"});
  expect_refused({}, {rank_on("alpha", none), rank_on("beta", one)}, {"rank 1 on beta", "rank 0 on alpha"});
}

TEST(DeviceChoice, AGpuThatIsNotThereIsNamed) {
  const std::vector<RankView> ranks{rank_on("a", two)};
  EXPECT_EQ(chosen("cuda:1", ranks), std::vector<Device>{Device::cuda(1)});
  expect_refused(DeviceRequest::parse("cuda:2"), ranks, {"cuda:2", "2 GPUs"});
  expect_refused(DeviceRequest::parse("cuda"), {rank_on("a", none)}, {"rank 0 on a", "no NVIDIA driver"});
  // One number for all ranks of a host is one GPU.
  expect_refused(DeviceRequest::parse("cuda:1"), {rank_on("a", two), rank_on("a", two)}, {"2 ranks on a for 1 GPU"});
}

TEST(DeviceChoice, AViewTravelsAsText) {
  for (const RankView& view : {rank_on("host", two), rank_on("host", none)}) {
    const RankView back = RankView::from_text(view.to_text());
    EXPECT_EQ(back.host, view.host);
    EXPECT_EQ(back.gpus, view.gpus);
    EXPECT_EQ(back.reason, view.reason);
  }
  EXPECT_THROW(RankView::from_text("host"), Error);
}

}  // namespace
}  // namespace trireme
