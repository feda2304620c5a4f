// `trireme data ...` as a user meets it: arguments in, text and exit codes out.
#include "launcher/job/data_command.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "core/io/json.hpp"
#include "datasets/token_windows.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

struct Answer {
  int code;
  std::string text;
};

Answer run(const std::vector<std::string>& words) {
  testing::internal::CaptureStdout();
  try {
    const int code = data_command(words);
    return {code, testing::internal::GetCapturedStdout()};
  } catch (...) {
    testing::internal::GetCapturedStdout();
    throw;
  }
}

TEST(DataCommand, ImportsShowsAndVerifies) {
  const TempDir dir;
  write_bytes(dir / "images", idx_images(20, 4, 4));
  write_bytes(dir / "labels", idx_labels(20));
  const std::vector<std::string> import = {
      "import", "idx",       "--images",  dir / "images",        "--labels=" + (dir / "labels"),
      "--out",  dir / "set", "--classes", "a,b,c,d,e,f,g,h,i,j", "--shard-rows",
      "8"};
  EXPECT_EQ(run(import).code, 0);
  expect_error(ExitCode::usage, {"--overwrite"}, [&] { run(import); });
  auto again = import;
  again.push_back("--overwrite");
  EXPECT_EQ(run(again).code, 0);
  const std::string text = run({"info", dir / "set"}).text;
  for (const char* word : {"image", "(4, 4, 1)", "20 samples in 3 shards", "a, b, c", "fingerprint", "idx"}) {
    EXPECT_NE(text.find(word), std::string::npos) << word << " in:\n" << text;
  }
  const Json json = Json::parse(run({"info", dir / "set", "--json"}).text);
  EXPECT_EQ(json["splits"][0]["count"], 20);
  EXPECT_EQ(json["fingerprint"].get<std::string>().size(), 32U);
  EXPECT_NE(run({"verify", dir / "set"}).text.find("is whole"), std::string::npos);
  Bytes shard = read_bytes(dir / "set/train-00002.h5");
  shard[shard.size() / 2] ^= 1;
  write_bytes(dir / "set/train-00002.h5", shard);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"verify", dir / "set"}).code, static_cast<int>(ExitCode::corrupt_input));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("train-00002.h5"), std::string::npos) << said;
  EXPECT_EQ(said.find("train-00001.h5"), std::string::npos) << said;
}

TEST(DataCommand, DeflatesWhereThatIsWanted) {
  const TempDir dir;
  const auto bytes = [&](std::vector<std::string> words, const std::string& level) {
    words.insert(words.end(), {"--out", dir / "set", "--compress", level, "--overwrite"});
    EXPECT_EQ(run(words).code, 0);
    EXPECT_NE(run({"verify", dir / "set"}).text.find("is whole: 1000 samples"), std::string::npos);
    return DatasetIndex::read(dir / "set").splits[0].shards[0].bytes;
  };
  std::ofstream lines(dir / "lines");
  for (int k = 0; k < 1000; ++k) lines << "the " << k << (k % 2 == 0 ? "th text\teven\n" : "th text\todd\n");
  lines.close();
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"generate", "shapes", "--count", "1000", "--size", "8", "--test-count", "0"},
        std::vector<std::string>{"generate", "names", "--count", "1000", "--test-count", "0"},
        std::vector<std::string>{"import", "lines", dir / "lines"}})
    EXPECT_LT(bytes(words, "9"), bytes(words, "0")) << words[1];
}

TEST(DataCommand, GeneratesShapes) {
  const TempDir dir;
  EXPECT_EQ(run({"generate", "shapes", "--out", dir / "s", "--count", "30", "--test-count", "5", "--size", "12"}).code,
            0);
  EXPECT_EQ(Dataset::open(dir / "s").split("test")->count(), 5);
}

TEST(DataCommand, MakesDataSetsOfTexts) {
  const TempDir dir;
  const Answer made = run({"generate", "names", "--out", dir / "n", "--count", "30", "--test-count", "5"});
  EXPECT_EQ(made.code, 0);
  EXPECT_NE(made.text.find("of the test names right"), std::string::npos) << made.text;
  EXPECT_EQ(Dataset::open(dir / "n").class_names().size(), 8U);
  const std::string table = "one\tx\ntwo\ty\nthree\tx\n";
  write_bytes(dir / "t.tsv", Bytes(table.begin(), table.end()));
  EXPECT_EQ(run({"import", "lines", dir / "t.tsv", "--length", "4", "--out", dir / "t"}).code, 0);
  EXPECT_EQ(Dataset::open(dir / "t").split("train")->fields()[0].row, Shape{4});
}

TEST(DataCommand, FromTextToAnOrderOfWindows) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the " + std::to_string(i % 7) + "th of them\n";
  write_bytes(dir / "t.txt", Bytes(text.begin(), text.end()));
  const Answer trained =
      run({"train-tokenizer", dir / "t.txt", "--vocabulary", "270", "--out", dir / "tokenizer.json", "--threads", "2"});
  EXPECT_NE(trained.text.find("byte pairs, vocabulary 270"), std::string::npos) << trained.text;
  const std::string made = run({"tokenize", dir / "t.txt", "--tokenizer", dir / "tokenizer.json", "--out", dir / "set",
                                "--validation", "0.1", "--held-out", "tail"})
                               .text;
  for (const char* word : {"validation", "1 documents", "vocabulary   270", "end of text  269", "tokenizer.json"})
    EXPECT_NE(made.find(word), std::string::npos) << word << " in:\n" << made;
  EXPECT_NE(run({"verify", dir / "set"}).text.find("is whole"), std::string::npos);

  const std::vector<std::string> order = {"order",   "--data", dir / "set", "--context", "8",
                                          "--batch", "6",      "--seed",    "3",         "--validation=0"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), order.begin(), order.end());
    return run(more).text;
  };
  const std::string whole = with({"--steps", "1..3"});
  const Sampler sampler(token_windows(Dataset::open(dir / "set").split("train"), {.context = 8})->count(), 3);
  std::string want;
  for (std::uint64_t step = 0; step < 3; ++step) {
    want += "step " + std::to_string(step + 1) + " rank 0:";
    for (std::uint64_t row = 0; row < 6; ++row) want += " " + std::to_string(sampler.at(step * 6 + row));
    want += "\n";
  }
  EXPECT_EQ(whole, want);
  const std::string two = with({"--steps", "2", "--ranks", "2"});
  EXPECT_EQ(two, "step 2 rank 0: " + std::to_string(sampler.at(6)) + " " + std::to_string(sampler.at(7)) + " " +
                     std::to_string(sampler.at(8)) + "\nstep 2 rank 1: " + std::to_string(sampler.at(9)) + " " +
                     std::to_string(sampler.at(10)) + " " + std::to_string(sampler.at(11)) + "\n");
  const std::string pieces = with({"--steps", "1", "--accumulate", "3"});
  EXPECT_NE(pieces.find("step 1 micro-batch 2 rank 0: " + std::to_string(sampler.at(4))), std::string::npos) << pieces;
}

TEST(DataCommand, ImportsTables) {
  const TempDir dir;
  const std::string text = "1\tfoo\t0.5\n2\tbar\t1.5\n3\tfoo\t2.5\nx\tfoo\t1\n";
  write_bytes(dir / "t.tsv", Bytes(text.begin(), text.end()));
  const auto import = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"import", "csv", dir / "t.tsv", "--no-header", "--separator", "tab", "--on-error",
                               "skip", "--overwrite", "--out", dir / "set"});
    testing::internal::CaptureStderr();
    const Answer answer = run(more);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("1 samples were left out"), std::string::npos);
    return answer.text;
  };
  const std::string classes = import({"--target", "2"});
  for (const char* word : {"x            f32 (2)", "3 samples", "2: bar, foo", "1, 3", "as they are"})
    EXPECT_NE(classes.find(word), std::string::npos) << word << " in:\n" << classes;
  const std::string numbers = import({"--target", "1", "--drop", "2", "--regression", "--standardise"});
  EXPECT_NE(numbers.find("standardised"), std::string::npos) << numbers;
}

TEST(DataCommand, EverySubCommandHasHelp) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"--help"},
                                                                                     {"import", "--help"},
                                                                                     {"import", "idx", "--help"},
                                                                                     {"generate", "shapes", "--help"},
                                                                                     {"generate", "names", "--help"},
                                                                                     {"import", "lines", "--help"},
                                                                                     {"tokenize", "--help"},
                                                                                     {"train-tokenizer", "--help"},
                                                                                     {"order", "--help"},
                                                                                     {"info", "--help"},
                                                                                     {"verify", "--help"}}) {
    const Answer answer = run(words);
    EXPECT_EQ(answer.code, 0);
    EXPECT_GT(answer.text.size(), 50U);
  }
}

TEST(DataCommand, ATestFractionIsAPart) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"import", "lines", "x"}, {"import", "csv", "x", "--target", "t"}, {"import", "npy", "x=x.npy"}})
    for (const char* fraction : {"-0.5", "1.5"}) {
      std::vector<std::string> all = words;
      all.insert(all.end(), {"--out", "y", std::string("--test-fraction=") + fraction});
      expect_error(ExitCode::usage, {"test-fraction", "from 0 to 1"}, [&] { run(all); });
    }
}

TEST(DataCommand, MistakesAreUsageErrors) {
  const auto wrong = [](const std::vector<std::string>& words, const char* said) {
    expect_error(ExitCode::usage, {said}, [&] { run(words); });
  };
  wrong({}, "import, generate, tokenize, train-tokenizer, info, order or verify");
  wrong({"improt"}, "improt");
  wrong({"improt"}, "did you mean 'import'?");
  wrong({"import"}, "trireme data import wants cifar, csv, images, idx, lines, npy or rdb");
  wrong({"import", "tsv"}, "trireme data import has no 'tsv'; it has cifar, csv, images, idx, lines, npy and rdb");
  for (const std::string word : {"x", "=x.npy", "x="})
    wrong({"import", "npy", word, "--out", "y"}, ("'" + word + "' is not FIELD=FILE").c_str());
  wrong({"import", "npy", "x=a.npy"}, "needs --out");
  wrong({"import", "csv", "x.csv", "--out", "y"}, "needs --target");
  wrong({"import", "csv", "x.csv", "--out", "y", "--target", "t", "--separator", "ab"}, "'ab' is no separator");
  wrong({"import", "idx", "--imgaes", "x"}, "did you mean 'images'?");
  wrong({"import", "idx", "--images"}, "argument for option '--images' is missing");
  wrong({"import", "idx", "--images", "x"}, "--labels");
  wrong({"import", "idx", "stray", "--images", "x"}, "stray");
  wrong({"generate", "shapes", "--out", "x", "--count", "ten"}, "ten");
  wrong({"generate", "shapes", "--out", "x", "--shard-rows=-1"}, "shard-rows");
  wrong({"generate", "shapes", "--out", "x", "--noise", "2"}, "a number from 0 to 1");
  wrong({"import", "idx", "--images", "x", "--labels", "y", "--out", "z", "--classes", "a,,b"},
        "an empty name in 'a,,b'");
  wrong({"info"}, "takes 1 argument");
  wrong({"verify", "a", "b"}, "a b");
  wrong({"tokenize"}, "takes at least 1 argument");
  wrong({"tokenize", "x"}, "needs --tokenizer");
  wrong({"train-tokenizer", "x"}, "needs --out");
  wrong({"train-tokenizer", "x", "--out", "y", "--special", "a,,b"}, "an empty name in 'a,,b'");
  wrong({"order"}, "needs --run or --data");
  for (const char* steps : {"", "0", "5..4", "1..", "1...3", "x"})
    wrong({"order", "--data", "x", "--steps", steps}, "1..10");
  expect_error(ExitCode::corrupt_input, {"index.json"}, [] { run({"info", "/nowhere"}); });
}

}  // namespace
}  // namespace trireme
