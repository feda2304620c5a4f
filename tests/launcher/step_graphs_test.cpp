// When micro-batches are run, recorded, replayed and recorded anew, with a recorder that keeps functions instead of a
// GPU's work; what an attempt that fails leaves behind; that a replay leaves what a run would.
#include "launcher/run/step_graphs.hpp"

#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace trireme {
namespace {

using Did = StepGraphs::Did;

/// What is queued while it records is kept and done at each launch.
struct FakeGpu final : Recorder {
  struct Log {
    std::vector<std::string> done;                       // what ran
    std::map<int, std::vector<std::string>> recordings;  // by number
    std::vector<std::string>* into = nullptr;            // where queued work goes now
    bool refuses = false;
    void queue(const std::string& text) { (into != nullptr ? *into : done).push_back(text); }
  };
  explicit FakeGpu(Log& kept) : log(kept) {}
  void record(int number, const std::function<void()>& work) override {
    std::vector<std::string> taken;
    log.into = &taken;
    try {
      work();
    } catch (...) {
      log.into = nullptr;
      throw;
    }
    log.into = nullptr;
    if (log.refuses) fail(ExitCode::failure, "the GPU will not");
    log.recordings[number] = taken;
  }
  void launch(int number) override {
    for (const std::string& text : log.recordings.at(number)) log.done.push_back(text);
  }
  void forget() override { log.recordings.clear(); }
  Log& log;
};

class StepGraphsTest : public testing::Test {
 protected:
  FakeGpu::Log gpu;
  StepGraphs graphs{std::make_unique<FakeGpu>(gpu)};
  std::vector<char> written;  // stands for what a run changes in the host's memory
  std::string input = "4 rows", output = "a";
  bool asks_host = false;
  int runs = 0;

  StepGraphs::Work work() {
    return {.input = input,
            .run =
                [this] {
                  ++runs;
                  written.push_back(output.front());
                  gpu.queue(output);
                  if (asks_host && graphs.recording()) fail(ExitCode::failure, "a number of the host is needed");
                },
            .state = [this] { return written; },
            .set_state = [this](const std::vector<char>& state) { written = state; }};
  }
  Did run(int kind = 0) {
    written.clear();
    return graphs.run(kind, work());
  }
  std::vector<Did> run_times(int times, int kind = 0) {
    std::vector<Did> out;
    for (int k = 0; k < times; ++k) out.push_back(run(kind));
    return out;
  }
};

TEST_F(StepGraphsTest, AKindIsWarmedUpThenRecordedThenReplayed) {
  ASSERT_EQ(StepGraphs::warm_up, 3);
  EXPECT_EQ(run_times(6), (std::vector{Did::ran, Did::ran, Did::ran, Did::recorded, Did::replayed, Did::replayed}));
  EXPECT_EQ(gpu.done, std::vector<std::string>(6, "a")) << "the work of every call is done once, also when recorded";
  EXPECT_EQ(runs, 4) << "the host does nothing in a replay";
  EXPECT_EQ(written, std::vector<char>{'a'}) << "a replay leaves in the host's memory what a run does";
}

TEST_F(StepGraphsTest, KindsHaveRecordingsOfTheirOwn) {
  run_times(5, 1);
  output = "b";
  EXPECT_EQ(run_times(5, 2).back(), Did::replayed);
  EXPECT_EQ(gpu.done.back(), "b");
  EXPECT_EQ(run(1), Did::replayed);
  EXPECT_EQ(gpu.done.back(), "a");
  EXPECT_EQ(written, std::vector<char>{'a'});
}

TEST_F(StepGraphsTest, AnotherInputIsRecordedAnew) {
  run_times(5);
  input = "3 rows";
  output = "c";
  EXPECT_EQ(run_times(5), (std::vector{Did::ran, Did::ran, Did::ran, Did::recorded, Did::replayed}));
  EXPECT_EQ(gpu.done.back(), "c");
  graphs.forget();
  EXPECT_EQ(run(), Did::ran);
  EXPECT_TRUE(gpu.recordings.empty());
}

TEST_F(StepGraphsTest, WhatCannotBeRecordedRunsForEverWithOneReason) {
  for (const bool by_host : {true, false}) {
    gpu = {};
    graphs = StepGraphs(std::make_unique<FakeGpu>(gpu));
    asks_host = by_host;
    gpu.refuses = !by_host;
    EXPECT_EQ(run_times(7), std::vector<Did>(7, Did::ran));
    EXPECT_EQ(gpu.done, std::vector<std::string>(7, "a")) << "what the failed recording took in must not run";
    EXPECT_EQ(graphs.refusal(), by_host ? "a number of the host is needed" : "the GPU will not");
    EXPECT_EQ(written, std::vector<char>{'a'}) << "nothing of the attempt may stay";
    EXPECT_FALSE(graphs.recording());
  }
}

TEST_F(StepGraphsTest, AnErrorOfAnOrdinaryRunIsNotARefusal) {
  StepGraphs::Work broken = work();
  broken.run = [] { fail(ExitCode::corrupt_input, "a label out of range"); };
  EXPECT_THROW(graphs.run(0, broken), Error);
  EXPECT_TRUE(graphs.refusal().empty());
}

}  // namespace
}  // namespace trireme
