// `trireme checkpoint list`, `verify`, `show` and `prune` on whole and on damaged checkpoints.
#include "launcher/job/checkpoint_command.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "launcher/run/run_lock.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
constexpr int damaged = static_cast<int>(ExitCode::corrupt_input), usage = static_cast<int>(ExitCode::usage);

/// A run folder with checkpoints of these steps.
class SavedRun {
 public:
  explicit SavedRun(const std::vector<std::int64_t>& steps = {}) {
    write_file_atomically(path() + "/config.ini", "epochs = 3\n");
    for (const std::int64_t step : steps) save(checkpoints(), step);
  }
  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  std::string of(std::int64_t step) const { return checkpoints() + "/" + checkpoint_name(step); }
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> found;
    for (const auto& entry : CheckpointStore(checkpoints()).list()) found.push_back(entry.step);
    return found;
  }

 private:
  TempDir dir_;
  std::string path_ = dir_.path().string();
};

/// Flips a byte of a tensor; the name of the file it lies in.
std::string damage(const std::string& folder, const std::string& plane, const std::string& name) {
  const CheckpointReader reader(folder);
  const SavedPiece& piece = reader.find(plane, name)->pieces.back();
  flip_byte(folder + "/" + piece.file, piece.offset + 1);
  return piece.file;
}

void cut(const std::string& folder) { fs::resize_file(folder + "/rank_00001.h5", 100); }

TEST(CheckpointList, ShowsEachAndMarksTheNewest) {
  const SavedRun run({100, 200, 300});
  const Answer list = checkpoint({"list", run.path()});
  EXPECT_EQ(list.code, 0) << list;
  EXPECT_TRUE(list.says("  100     6400  2026-11-24T08:15:00Z      2")) << list;
  EXPECT_TRUE(list.says("  yes\n") && list.says("  yes, newest\n")) << list;
  EXPECT_EQ(list.out.find("newest"), list.out.find("yes, newest", list.out.find("\n   300")) + 5) << list;
  EXPECT_EQ(list.out.find('\x1b'), std::string::npos);

  const Json json = Json::parse(checkpoint({"list", run.path(), "--json"}).out);
  EXPECT_EQ(json["newest"], 300);
  ASSERT_EQ(json["checkpoints"].size(), 3U);
  EXPECT_EQ(json["checkpoints"][0]["step"], 100);
  EXPECT_EQ(json["checkpoints"][0]["whole"], true);
  std::int64_t bytes = 0;
  for (const auto& file : fs::directory_iterator(run.of(100))) {
    if (file.path().extension() == ".h5") bytes += static_cast<std::int64_t>(file.file_size());
  }
  EXPECT_EQ(json["checkpoints"][0]["bytes"], bytes);
}

TEST(CheckpointList, DamagedOnesAreListedWithTheReason) {
  const SavedRun run({100, 200});
  cut(run.of(200));
  fs::create_directories(run.checkpoints() + "/.step_00000300.partial");
  const Answer list = checkpoint({"list", run.path()});
  EXPECT_EQ(list.code, 0) << list;
  EXPECT_TRUE(list.says("  200        -  -                         -") && list.says("  no\n")) << list;
  EXPECT_TRUE(list.says("damaged: ") && list.says("rank_00001.h5")) << list;
  EXPECT_TRUE(list.says("100") && list.says("yes, newest")) << list;
  EXPECT_TRUE(list.says("left over: .step_00000300.partial")) << list;
  const Json json = Json::parse(checkpoint({"list", run.path(), "--json"}).out);
  EXPECT_EQ(json["newest"], 100);
  EXPECT_NE(json["checkpoints"][1]["problem"].get<std::string>().find("rank_00001.h5"), std::string::npos);
  EXPECT_EQ(json["leftovers"], Json::array({".step_00000300.partial"}));

  cut(run.of(100));
  EXPECT_EQ(checkpoint({"list", run.path()}).code, damaged);
  EXPECT_TRUE(Json::parse(checkpoint({"list", run.path(), "--json"}).out)["newest"].is_null());
}

TEST(CheckpointList, ARunThatSavedNothingHasNone) {
  const SavedRun run;
  const Answer list = checkpoint({"list", run.path()});
  EXPECT_EQ(list.code, damaged) << list;
  EXPECT_TRUE(list.says("no checkpoints in " + run.checkpoints())) << list;
  EXPECT_EQ(checkpoint({"verify", run.path()}).code, damaged);
  EXPECT_TRUE(checkpoint({"show", run.path()}).complains("no whole checkpoint"));
}

TEST(CheckpointPath, IsARunItsCheckpointsOrOneOfThem) {
  const SavedRun run({100, 200});
  const TempDir elsewhere;
  fs::create_directory_symlink(run.of(100), elsewhere / "best");
  const auto newest = [](const std::string& path) {
    const Answer list = checkpoint({"list", path, "--json"});
    EXPECT_EQ(list.code, 0) << path << ": " << list;
    return Json::parse(list.out)["newest"];
  };
  EXPECT_EQ(newest(run.path()), 200);
  EXPECT_EQ(newest(run.path() + "/"), 200);
  EXPECT_EQ(newest(run.checkpoints()), 200);
  EXPECT_EQ(newest(run.of(100)), 100);
  EXPECT_EQ(newest(run.of(100) + "/"), 100);
  EXPECT_EQ(newest(run.of(100) + "/."), 100);
  EXPECT_EQ(newest(elsewhere / "best"), 100);
}

TEST(CheckpointPath, AnythingElseIsAMistake) {
  const SavedRun run({100});
  const TempDir empty;
  const auto wrong = [](const std::string& path, const std::string& words) {
    const Answer answer = checkpoint({"list", path});
    EXPECT_EQ(answer.code, usage) << answer;
    EXPECT_TRUE(answer.complains(words)) << answer;
  };
  wrong("/nowhere/at/all", "there is no folder");
  wrong(run.path() + "/config.ini", "found a file");
  wrong(empty.path().string(), "no run folder");
}

TEST(CheckpointVerify, WholeAndEveryByteOfIt) {
  const SavedRun run({100, 200});
  const Answer newest = checkpoint({"verify", run.path()});
  EXPECT_EQ(newest.code, 0) << newest;
  EXPECT_TRUE(newest.says("whole: " + run.of(200)) && newest.says("4 tensors in 2 files")) << newest;
  EXPECT_FALSE(newest.says(run.of(100))) << newest;
  EXPECT_TRUE(newest.complains("checking step_00000200: ") && newest.complains(" bytes (100 %)\n")) << newest;
  EXPECT_EQ(newest.err.find('\r'), std::string::npos) << "a line that is drawn over is for terminals";
  const Answer all = checkpoint({"verify", run.checkpoints(), "--all"});
  EXPECT_TRUE(all.code == 0 && all.says("whole: " + run.of(100)) && all.says("whole: " + run.of(200))) << all;
}

TEST(CheckpointVerify, NamesFileAndTensorOfEachDamage) {
  const SavedRun run({100, 200, 300});
  const std::string file = damage(run.of(200), "moment1", "0.weight");
  damage(run.of(200), "param", "0.bias");
  EXPECT_EQ(checkpoint({"verify", run.path()}).code, 0) << "the newest is whole";
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"verify", run.of(200)}, {"verify", run.path(), "--all"}}) {
    const Answer verify = checkpoint(words);
    EXPECT_EQ(verify.code, damaged) << verify;
    EXPECT_TRUE(verify.complains(file) && verify.complains("moment1/0.weight")) << verify;
    EXPECT_TRUE(verify.complains("param/0.bias") && verify.complains("damaged: 2 problems")) << verify;
    EXPECT_FALSE(verify.complains("param/0.weight")) << verify;
    EXPECT_FALSE(verify.says("whole: " + run.of(200))) << verify;
  }
  EXPECT_TRUE(checkpoint({"verify", run.path(), "--all"}).says("whole: " + run.of(300)));
  flip_byte(run.of(300) + "/manifest.json", 40);
  const Answer verify = checkpoint({"verify", run.path()});
  EXPECT_EQ(verify.code, damaged) << verify;
  EXPECT_TRUE(verify.complains("manifest.json")) << verify;
}

TEST(CheckpointShow, SaysWhatIsInside) {
  const SavedRun run({100, 200});
  const Answer show = checkpoint({"show", run.path()});
  EXPECT_EQ(show.code, 0) << show;
  for (const char* words : {"step        200", "samples     12800", "created     2026-11-24T08:15:00Z", "ranks       2",
                            "data        0123456789abcdef0123456789abcdef", "parameters  65", "skipped     3",
                            "param          2        65  260 bytes", "state          1         1    8 bytes"}) {
    EXPECT_TRUE(show.says(words)) << words << " in " << show;
  }
  EXPECT_FALSE(show.says("learning-rate") || show.says("0.weight")) << show;
  EXPECT_TRUE(checkpoint({"show", run.of(100)}).says("step        100"));
  const Answer options = checkpoint({"show", run.path(), "--options"});
  EXPECT_TRUE(options.says("  learning-rate  0.001\n")) << options;
  const Answer tensors = checkpoint({"show", run.path(), "--tensors"});
  EXPECT_TRUE(tensors.says("  moment1/0.weight  f32   (12, 5)  240 bytes       2\n")) << tensors;
  EXPECT_TRUE(tensors.says("  state/1.mean      f64   ()         8 bytes       1\n")) << tensors;

  const Json json = Json::parse(checkpoint({"show", run.path(), "--json", "--tensors", "--values", "param/*"}).out);
  EXPECT_EQ(json["step"], 200);
  EXPECT_EQ(json["options"]["batch"], "64");
  EXPECT_EQ(json["planes"]["param"]["elements"], 65);
  EXPECT_EQ(json["tensors"].size(), 4U);
  EXPECT_EQ(json["values"]["param/0.weight"]["max"], 59);
}

TEST(CheckpointShow, PassesOverADamagedNewestWithAWarning) {
  const SavedRun run({100, 200});
  cut(run.of(200));
  const Answer show = checkpoint({"show", run.path()});
  EXPECT_EQ(show.code, 0) << show;
  EXPECT_TRUE(show.says("step        100") && show.complains("warning: passed over")) << show;
  const Answer named = checkpoint({"show", run.of(200)});
  EXPECT_TRUE(named.code == damaged && named.complains("rank_00001.h5")) << named;
}

TEST(CheckpointShow, ValuesOfEveryTypeAreRead) {
  TestCheckpoint one{.step = 1, .ranks = 3};
  const auto add = [&]<class T>(const char* name, T) {
    one.tensors.push_back(test_tensor<T>("state", name, {2, 2}, {T(1), T(5), T(2), T(4)}));
  };
  add("f32", float{}), add("f64", double{}), add("bf16", BFloat16{}), add("f16", Float16{});
  add("i32", std::int32_t{}), add("i64", std::int64_t{}), add("u8", std::uint8_t{});
  const SavedRun run;
  save(run.checkpoints(), one);
  const Json values = Json::parse(checkpoint({"show", run.path(), "--json", "--values", "*"}).out)["values"];
  ASSERT_EQ(values.size(), 7U);
  for (const auto& [name, of] : values.items()) {
    EXPECT_EQ(of["min"], 1) << name;
    EXPECT_EQ(of["max"], 5) << name;
    EXPECT_EQ(of["mean"], 3) << name;
    EXPECT_DOUBLE_EQ(of["std"].get<double>(), std::sqrt(2.5)) << name;
    EXPECT_DOUBLE_EQ(of["norm"].get<double>(), std::sqrt(46.0)) << name;
    EXPECT_EQ(of["not_finite"], 0) << name;
  }
}

TEST(CheckpointShow, ValuesOverManyPiecesKeepTheirDigits) {
  // The mean is large against the deviation: a difference of two sums would have no digit left. A piece is larger than
  // what is read at once.
  std::mt19937 bits(7);
  std::uniform_int_distribution<int> draw(-1000, 1000);
  std::vector<double> values;
  for (int i = 0; i < 300000; ++i) values.push_back(1e9 + draw(bits));
  double mean = 0, spread = 0;
  for (const double x : values) mean += (x - 1e9) / 300000;
  for (const double x : values) spread += (x - 1e9 - mean) * (x - 1e9 - mean) / 300000;
  TestCheckpoint one{.step = 1, .ranks = 2};
  one.tensors = {test_tensor<double>("param", "w", {600, 500}, values)};
  const SavedRun run;
  save(run.checkpoints(), one);
  const Json of =
      Json::parse(checkpoint({"show", run.path(), "--json", "--values", "param/w"}).out)["values"]["param/w"];
  EXPECT_NEAR(of["mean"].get<double>(), 1e9 + mean, 1e-6);
  EXPECT_NEAR(of["std"].get<double>(), std::sqrt(spread), 1e-6);
}

TEST(CheckpointShow, ValuesThatAreNotFiniteAreCounted) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  TestCheckpoint one{.step = 1, .ranks = 1};
  one.tensors = {test_tensor<float>("param", "some", {5}, {3, nan, -4, infinite, -infinite}),
                 test_tensor<float>("param", "only", {2}, {nan, nan})};
  const SavedRun run;
  save(run.checkpoints(), one);
  const Answer show = checkpoint({"show", run.path(), "--values", "param/*"});
  EXPECT_EQ(show.code, 0) << show;
  EXPECT_TRUE(show.says("  param/some   -4    3  -0.5  3.5     5           3\n")) << show;
  EXPECT_TRUE(show.says("  param/only    -    -     -    -     -           2\n")) << show;
}

TEST(CheckpointShow, ValuesOfAnUnknownOrDamagedTensorAreRefused) {
  const SavedRun run({100});
  const Answer unknown = checkpoint({"show", run.path(), "--values", "param/0.wieght"});
  EXPECT_EQ(unknown.code, usage) << unknown;
  EXPECT_TRUE(unknown.complains("did you mean 'param/0.weight'?")) << unknown;
  const std::string file = damage(run.of(100), "param", "0.weight");
  const Answer hurt = checkpoint({"show", run.path(), "--values", "param/0.weight"});
  EXPECT_EQ(hurt.code, damaged) << hurt;
  EXPECT_TRUE(hurt.complains(file) && hurt.complains("param/0.weight")) << hurt;
  EXPECT_EQ(hurt.out, "");
  EXPECT_EQ(checkpoint({"show", run.path(), "--values", "param/0.bias"}).code, 0) << "another tensor is whole";
}

TEST(CheckpointShow, TextsFromTheFileCannotCommandTheTerminal) {
  const SavedRun run;
  save(run.checkpoints(), {.step = 1, .ranks = 1, .options = {{"name", "a\x1b[2Jb\nc"}}, .tensors = small_network()});
  const Answer show = checkpoint({"show", run.path(), "--options"});
  EXPECT_TRUE(show.says("a\\x1b[2Jb\\nc")) << show;
  EXPECT_EQ(show.out.find('\x1b'), std::string::npos) << show;
}

TEST(CheckpointPrune, RemovesWhatTheRuleDoesNotKeep) {
  const SavedRun run({100, 200, 300, 400, 500});
  const std::vector<std::string> words = {"prune", run.path(), "--keep-last", "2", "--keep-every", "200"};
  auto rehearsal = words;
  rehearsal.push_back("--dry-run");
  const Answer dry = checkpoint(rehearsal);
  EXPECT_EQ(dry.code, 0) << dry;
  EXPECT_TRUE(dry.says("would remove step_00000100") && dry.says("would remove step_00000300")) << dry;
  EXPECT_EQ(run.steps().size(), 5U);
  const Answer prune = checkpoint(words);
  EXPECT_EQ(prune.code, 0) << prune;
  EXPECT_TRUE(prune.says("removed step_00000100") && prune.says("removed step_00000300")) << prune;
  EXPECT_FALSE(prune.says("removed step_00000200")) << prune;
  EXPECT_EQ(run.steps(), (std::vector<std::int64_t>{200, 400, 500}));
  const Answer again = checkpoint(words);
  EXPECT_TRUE(again.code == 0 && again.says("nothing to remove")) << again;
}

TEST(CheckpointPrune, KeepsAllWhereTheNewestAreNotWhole) {
  const SavedRun run({100, 200, 300, 400});
  cut(run.of(400));
  const Answer prune = checkpoint({"prune", run.path(), "--keep-last", "2"});
  EXPECT_EQ(prune.code, damaged) << prune;
  EXPECT_TRUE(prune.complains("rank_00001.h5") && prune.complains("nothing is removed while")) << prune;
  EXPECT_EQ(run.steps().size(), 4U);
}

TEST(CheckpointPrune, DoesNotTouchARunAtWork) {
  const SavedRun run({100, 200, 300});
  const std::string lists[] = {run.path(), run.checkpoints()};
  {
    const RunLock job(run.path(), "17");
    for (const std::string& path : lists) {
      const Answer prune = checkpoint({"prune", path, "--keep-last", "2"});
      EXPECT_EQ(prune.code, usage) << prune;
      EXPECT_TRUE(prune.complains("job 17")) << prune;
    }
    EXPECT_EQ(checkpoint({"prune", run.path(), "--keep-last", "2", "--dry-run"}).code, 0) << "looking is harmless";
    EXPECT_EQ(run.steps().size(), 3U);
  }
  EXPECT_EQ(checkpoint({"prune", run.path(), "--keep-last", "2"}).code, 0) << "the job has ended";
  EXPECT_EQ(run.steps().size(), 2U);
}

TEST(CheckpointPrune, RemovesWhatAKilledJobLeft) {
  const SavedRun run({100, 200});
  fs::create_directories(run.checkpoints() + "/.step_00000300.partial");
  const Answer prune = checkpoint({"prune", run.path(), "--keep-last", "2"});
  EXPECT_TRUE(prune.code == 0 && prune.says("cleaned up .step_00000300.partial")) << prune;
  EXPECT_FALSE(fs::exists(run.checkpoints() + "/.step_00000300.partial"));
}

TEST(CheckpointPrune, WantsARuleAndAFolderOfCheckpoints) {
  const SavedRun run({100, 200, 300});
  const auto wrong = [](const std::vector<std::string>& words, const char* said) {
    const Answer answer = checkpoint(words);
    EXPECT_EQ(answer.code, usage) << answer;
    EXPECT_TRUE(answer.complains(said)) << answer;
  };
  wrong({"prune", run.path()}, "--keep-last");
  wrong({"prune", run.path(), "--keep-last", "1"}, "at least 2");
  wrong({"prune", run.path(), "--keep-last", "2", "--keep-every=-1"}, "keep-every");
  wrong({"prune", run.of(100), "--keep-last", "2"}, "is one checkpoint");
  EXPECT_EQ(run.steps().size(), 3U);
}

TEST(CheckpointCommand, HasHelpAndNamesTheNearestCommand) {
  for (const char* name : {"list", "verify", "show", "diff", "prune"}) {
    EXPECT_TRUE(checkpoint({"--help"}).says(std::string("trireme checkpoint ") + name));
    const Answer help = checkpoint({name, "--help"});
    EXPECT_EQ(help.code, 0) << help;
    EXPECT_TRUE(help.says("Examples:\n  trireme checkpoint ")) << help;
  }
  const Answer wrong = checkpoint({"verfy", "x"});
  EXPECT_EQ(wrong.code, usage) << wrong;
  EXPECT_TRUE(wrong.complains("did you mean 'verify'?")) << wrong;
  EXPECT_EQ(checkpoint({}).code, usage);
  EXPECT_TRUE(checkpoint({"show"}).complains("takes 1 argument"));
  EXPECT_TRUE(checkpoint({"list", "x", "--jsn"}).complains("did you mean 'json'?"));
}

TEST(CheckpointCommand, TheProgramEndsWithTheCodeWhoeverReads) {
  const SavedRun run({100});
  const std::string trireme = std::string(TRIREME_BINARY_DIR) + "/launcher/trireme";
  const auto shell = [&](const std::string& tail) {
    const int status = std::system((shell_quoted({trireme, "checkpoint", "list", run.path()}) + tail).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(shell(" >/dev/null"), 0);
  EXPECT_EQ(shell(" >/dev/full 2>/dev/null"), static_cast<int>(ExitCode::storage));
  cut(run.of(100));
  EXPECT_EQ(shell(" >/dev/null"), damaged);
}

}  // namespace
}  // namespace trireme
