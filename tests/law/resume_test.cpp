// Law 2: a run that is stopped and resumed equals one that was never interrupted, bit for bit on as many ranks, within
// law 1 on another number of them; and what a resumed run refuses.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

const std::string to_forty = "--epochs 100 --max-steps 40 --checkpoint-every 8 ";

class Resume : public testing::Test {
 protected:
  TempDir dir;
  RunUnderTest run{dir / "run"};

  static void expect_same(const RunUnderTest& a, const RunUnderTest& b) {
    EXPECT_EQ(a.steps(), b.steps());
    ASSERT_EQ(a.checkpoints().back(), b.checkpoints().back());
    const std::int64_t last = a.checkpoints().back();
    EXPECT_EQ(tensors_of(a.checkpoint(last)), tensors_of(b.checkpoint(last)));
  }
  /// 40 steps on two ranks without interruption.
  static const RunUnderTest& whole() {
    static const TempDir folder;
    static const RunUnderTest out(folder / "whole");
    static const int code = out.run(2, to_forty);
    EXPECT_EQ(code, 0) << out.log_text();
    return out;
  }
  static void expect_words(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(text.find(word), std::string::npos) << "no '" << word << "' in:\n" << text;
  }
};

TEST_F(Resume, AStopSignalSavesAndTheSameCommandGoesOn) {
  for (const int signal : {SIGUSR1, SIGTERM}) {
    SCOPED_TRACE(signal);
    fs::remove_all(run.folder());
    {
      StartedJob job = run.start(2, to_forty);
      ASSERT_TRUE(job.wait_until([&] { return run.steps().size() >= 11; })) << job.log_text();
      // One rank is enough: all agree on the step.
      ::kill(job.rank_pids().at(1), signal);
      EXPECT_EQ(job.wait(), 10) << job.log_text();
    }
    const auto steps = run.steps();
    ASSERT_LT(steps.size(), 40u);
    EXPECT_EQ(run.checkpoints().back(), steps.back().first);
    EXPECT_EQ(run.events("stopped").size(), 1u);
    ASSERT_EQ(run.run(2, to_forty), 0) << run.log_text();
    expect_same(run, whole());
    EXPECT_EQ(run.events("resume").size(), 1u);
  }
}

TEST_F(Resume, AStopSignalEndsAValidationWhichTheSameCommandMakesUp) {
  const std::string evaluated_often = to_forty + "--validation 0.5 --validate-every 20 --evaluation-batch 2 ";
  const RunUnderTest undisturbed(dir / "undisturbed");
  ASSERT_EQ(undisturbed.run(2, evaluated_often), 0) << undisturbed.log_text();
  ASSERT_EQ(undisturbed.validations().size(), 2u);
  // 75 batches a validation: inside the first one, and inside the one that ends the training.
  for (const int batch : {3, 78}) {
    SCOPED_TRACE(batch);
    fs::remove_all(run.folder());
    EXPECT_EQ(run.run(2, evaluated_often + fmt::format("--stop-at {}", batch)), 10) << run.log_text();
    const std::int64_t step = batch == 3 ? 20 : 40;
    EXPECT_EQ(run.checkpoints().back(), step);
    EXPECT_EQ(run.validations().size(), batch == 3 ? 0u : 1u);
    ASSERT_EQ(run.run(2, evaluated_often), 0) << run.log_text();
    expect_same(run, undisturbed);
    EXPECT_EQ(run.validations(), undisturbed.validations());
  }
}

TEST_F(Resume, TheTimeLimitSavesInTimeAndTheSameCommandGoesOn) {
  const std::string arguments = "--epochs 100000 --max-time 4s ";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run.run(2, arguments), 10) << run.log_text();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  const auto steps = run.steps();
  ASSERT_GT(steps.size(), 1u);
  EXPECT_EQ(run.checkpoints().back(), steps.back().first);
  EXPECT_EQ(run.run(2, arguments), 10) << run.log_text();
  const auto more = run.steps();
  EXPECT_GT(more.size(), steps.size());
  for (std::size_t k = 0; k < more.size(); ++k) ASSERT_EQ(more[k].first, static_cast<std::int64_t>(k) + 1);
}

TEST_F(Resume, InTheBackgroundSavesTheSame) {
  ASSERT_EQ(run.run(2, to_forty + "--checkpoint-async"), 0) << run.log_text();
  expect_same(run, whole());
}

TEST_F(Resume, ADamagedCheckpointIsNamedAndTheOneBeforeIsTaken) {
  ASSERT_EQ(run.run(2, to_forty + "--keep-last 3"), 0);
  ASSERT_EQ(run.checkpoints(), (std::vector<std::int64_t>{24, 32, 40}));
  for (const char* file : {"rank_00001.h5", "manifest.json"}) {
    SCOPED_TRACE(file);
    std::fstream bytes(run.checkpoint(40) + "/" + file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(-100, std::ios::end);
    const char old = static_cast<char>(bytes.peek());
    bytes.seekp(-100, std::ios::end);
    bytes.put(static_cast<char>(old ^ 4));
    bytes.close();
    ASSERT_EQ(run.run(2, to_forty + "--keep-last 3"), 0) << run.log_text();
    expect_words(run.log_text(), {"step_00000040", file, "damaged", "going on after step 32"});
    expect_same(run, whole());
  }
  for (const std::int64_t step : run.checkpoints()) fs::resize_file(run.checkpoint(step) + "/rank_00000.h5", 100);
  EXPECT_EQ(run.run(2, to_forty), 15);
  expect_words(run.log_text(), {"none of 3 checkpoints", "rank_00000.h5", "--run-dir"});
}

TEST_F(Resume, AFinishedRunStartedAgainChangesNothing) {
  ASSERT_EQ(run.run(2, to_forty), 0);
  const auto steps = run.steps();
  ASSERT_EQ(run.run(2, to_forty), 0) << run.log_text();
  EXPECT_EQ(run.steps(), steps);
  EXPECT_TRUE(run.finished());
}

TEST_F(Resume, WhatWouldMakeTheStateMeaninglessIsRefused) {
  ASSERT_EQ(run.run(2, to_forty + "--max-steps 8"), 0);
  EXPECT_EQ(run.run(2, to_forty + "--seed 2"), 2);
  expect_words(run.log_text(), {"--seed 2 (was 1)", "--init-from"});
  EXPECT_EQ(run.run(2, to_forty + "--optimizer sgd"), 2);
  expect_words(run.log_text(), {"optimizer"});
  EXPECT_EQ(run.run(2, to_forty + "--model mlp"), 2);
  expect_words(run.log_text(), {"another network", "param/"});
  EXPECT_EQ(run.run(2, to_forty + "--resume never"), 2);
  expect_words(run.log_text(), {"--run-dir"});
  EXPECT_EQ(run.run(2, to_forty + "--learning-rate 0.01"), 0) << run.log_text();
  expect_words(run.log_text(), {"--learning-rate 0.01 (was 0.001)"});
}

TEST_F(Resume, OtherDataIsRefusedUnlessAllowed) {
  ASSERT_EQ(run.run(1, to_forty + "--max-steps 8"), 0);
  const std::string other = dir / "other";
  fs::copy(probe_data(), other, fs::copy_options::recursive);
  std::ifstream file(other + "/index.json");
  Json index = Json::parse(file);
  file.close();
  index["name"] = "another";
  std::ofstream(other + "/index.json") << index.dump();
  EXPECT_EQ(run.run(1, to_forty + "--data " + other), 2) << run.log_text();
  expect_words(run.log_text(), {"--allow-other-data"});
  EXPECT_EQ(run.run(1, to_forty + "--allow-other-data --data " + other), 0) << run.log_text();
}

TEST_F(Resume, FirstWeightsFromAnotherRunListWhatDoesNotFit) {
  const RunUnderTest second(dir / "second");
  ASSERT_EQ(run.run(2, to_forty + "--max-steps 8"), 0);
  ASSERT_EQ(second.run(1, "--max-steps 1 --learning-rate 0 --init-from " + run.folder()), 0) << second.log_text();
  const auto from = tensors_of(run.checkpoint(8)), to = tensors_of(second.checkpoint(1));
  for (const auto& [label, bytes] : from)
    if (label.starts_with("param/")) {
      EXPECT_EQ(bytes, to.at(label)) << label;
    }
  const RunUnderTest third(dir / "third");
  EXPECT_EQ(third.run(1, "--max-steps 1 --model mlp --init-from " + run.folder()), 2);
  expect_words(third.log_text(), {"--init-from", "not one of its weights fits"});
  const RunUnderTest fourth(dir / "fourth");
  EXPECT_EQ(fourth.run(1, "--max-steps 1 --init-from " + (dir / "nowhere")), 2);
  expect_words(fourth.log_text(), {"nowhere", "step_NNNNNNNN"});
}

TEST_F(Resume, FromANamedCheckpointIntoAnotherFolder) {
  const RunUnderTest second(dir / "second");
  ASSERT_EQ(second.run(2, to_forty + "--resume " + whole().checkpoint(32)), 0) << second.log_text();
  const auto all = whole().steps();
  EXPECT_EQ(second.steps(), (std::vector(all.begin() + 32, all.end())));
}

TEST_F(Resume, AnOlderCheckpointOfTheSameRunIsNotPassedOverInSilence) {
  ASSERT_EQ(run.run(2, to_forty + "--max-steps 16"), 0);
  EXPECT_EQ(run.run(2, to_forty + "--resume " + run.checkpoint(8)), 2) << run.log_text();
  expect_words(run.log_text(), {"gone on to step_00000016", "--run-dir"});
  EXPECT_EQ(run.run(2, to_forty + "--max-steps 17 --resume " + run.checkpoint(16)), 0) << run.log_text();
}

/// Where a file system cannot exchange two folders, a process killed while it replaces a checkpoint leaves it under a
/// hidden name only.
TEST_F(Resume, ACheckpointThatWasBeingReplacedIsFound) {
  ASSERT_EQ(run.run(2, to_forty + "--max-steps 8"), 0);
  fs::rename(run.checkpoint(8), run.folder() + "/checkpoints/.step_00000008.replaced");
  ASSERT_EQ(run.run(2, to_forty), 0) << run.log_text();
  EXPECT_EQ(run.events("resume").size(), 1u) << run.log_text();
  EXPECT_EQ(run.steps(), whole().steps());
}

/// Without --run-dir the same command would begin another run, so what is printed must say how to go on.
TEST_F(Resume, ARunWithoutANamedFolderSaysWhichOneGoesOn) {
  const std::string program = TRIREME_BINARY_DIR "/tests/resume_probe --data " + probe_data();
  const auto in_folder = [&](const std::string& arguments) {
    const int status =
        std::system(fmt::format("cd {} && {} -n 2 {} {} >log 2>&1", dir / "", mpirun, program, arguments).c_str());
    return WEXITSTATUS(status);
  };
  ASSERT_EQ(in_folder("--epochs 100000 --max-time 3s"), 10) << read_file(dir / "log");
  const std::string text = read_file(dir / "log");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(text, found, std::regex("if this run is interrupted.*(--run-dir runs/[0-9-]+)")))
      << text;
  const std::string named = found[1];
  expect_words(text, {"the same command with " + named + " goes on from there"});
  ASSERT_EQ(in_folder("--max-steps 1 " + named), 0) << read_file(dir / "log");
  expect_words(read_file(dir / "log"), {"going on after step"});
}

TEST_F(Resume, ASecondJobOnTheSameFolderIsSentAway) {
  StartedJob job = run.start(2, "--epochs 100000 ");
  ASSERT_TRUE(job.wait_until([&] { return run.steps().size() >= 2; })) << job.log_text();
  StartedJob second(2, fmt::format("--data {} --run-dir {}", probe_data(), run.folder()), dir / "second.log");
  EXPECT_EQ(second.wait(), 2);
  expect_words(second.log_text(), {"in use", std::to_string(job.rank_pids().at(0))});
  ::kill(job.rank_pids().at(0), SIGUSR1);
  EXPECT_EQ(job.wait(), 10) << job.log_text();
}

}  // namespace
}  // namespace trireme
