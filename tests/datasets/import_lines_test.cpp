// Lines of text as samples: folders of classes and tables come through, lengths and labels stand beside the bytes, and
// what cannot be used is named by file and line. Names in made-up languages are the same for the same seed, and their
// languages can be told apart.
#include "datasets/import_lines.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "datasets/names.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

struct TextSample {
  std::string text;
  std::int32_t label = -1;
  friend bool operator==(const TextSample&, const TextSample&) = default;
};

template <class T>
T value_at(const Split& split, const char* field, std::int64_t row) {
  T value{};
  std::memcpy(&value, split.row(split.field_index(field), row), sizeof value);
  return value;
}

/// All samples of a split; what stands behind their lengths must be zeros.
std::vector<TextSample> samples_of(const Split& split) {
  const int field = split.field_index("text");
  const auto longest = static_cast<std::size_t>(split.fields()[static_cast<std::size_t>(field)].row[0]);
  std::vector<TextSample> out;
  for (std::int64_t row = 0; row < split.count(); ++row) {
    const std::string bytes(reinterpret_cast<const char*>(split.row(field, row)), longest);
    const auto length = static_cast<std::size_t>(value_at<std::int32_t>(split, "length", row));
    EXPECT_EQ(bytes.substr(length), std::string(longest - length, '\0')) << row;
    out.push_back({bytes.substr(0, length), value_at<std::int32_t>(split, "label", row)});
  }
  return out;
}

class ImportLines : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    write_bytes(path(name), Bytes(text.begin(), text.end()));
  }
  std::string path(const std::string& name) const { return dir_ / name; }
  LinesImport job(const std::string& source) const { return {.source = path(source), .out = path("out")}; }
  Dataset imported(const LinesImport& import) const {
    import_lines(import);
    const Dataset dataset = Dataset::open(path("out"));
    EXPECT_TRUE(verify_dataset(dataset).problems.empty());
    return dataset;
  }
  void expect_refused(const LinesImport& import, const std::vector<std::string>& words,
                      ExitCode code = ExitCode::corrupt_input) const {
    expect_error(code, words, [&] { import_lines(import); });
    EXPECT_FALSE(fs::exists(path("out")));
    EXPECT_FALSE(fs::exists(path(".out.partial")));
  }
  TempDir dir_;
};

TEST_F(ImportLines, AFolderHasAFileForEachClass) {
  write("names/greek.txt", "Nikos\r\n\nEleni\n");
  write("names/basque.txt", "I\xc3\xb1\x61ki\nAne");
  write("names/.hidden.txt", "x\n");
  write("names/readme.md", "x\n");
  write("test/greek.txt", "Maria\n");
  LinesImport import = job("names");
  import.test_source = path("test");
  const Dataset dataset = imported(import);
  EXPECT_EQ(dataset.class_names(), (std::vector<std::string>{"basque", "greek"}));
  EXPECT_EQ(samples_of(*dataset.split("train")),
            (std::vector<TextSample>{{"I\xc3\xb1\x61ki", 0}, {"Ane", 0}, {"Nikos", 1}, {"Eleni", 1}}));
  EXPECT_EQ(samples_of(*dataset.split("test")), (std::vector<TextSample>{{"Maria", 1}}));
  EXPECT_EQ(dataset.split("train")->fields()[0].row, Shape{6});
}

TEST_F(ImportLines, PackedFilesAreReadAsPlainOnes) {
  write("names/greek.txt", "Nikos\n");
  const std::string names = "Ane\nIbon\n";
  write_gzip(path("names/basque.txt.gz"), Bytes(names.begin(), names.end()));
  const Dataset dataset = imported(job("names"));
  EXPECT_EQ(dataset.class_names(), (std::vector<std::string>{"basque", "greek"}));
  EXPECT_EQ(samples_of(*dataset.split("train")), (std::vector<TextSample>{{"Ane", 0}, {"Ibon", 0}, {"Nikos", 1}}));
}

TEST_F(ImportLines, ATableHasTheClassBehindTheLastTab) {
  write("all.tsv", "good\tday\tpos\nbad\tneg\n");
  const Dataset dataset = imported(job("all.tsv"));
  EXPECT_EQ(dataset.class_names(), (std::vector<std::string>{"neg", "pos"}));
  EXPECT_EQ(samples_of(*dataset.split("train")), (std::vector<TextSample>{{"good\tday", 1}, {"bad", 0}}));
}

TEST_F(ImportLines, ATestPartIsDrawnAndNoLineIsInBoth) {
  std::string text;
  for (int k = 0; k < 400; ++k) text += std::to_string(k) + "\t" + (k % 3 == 0 ? "a" : "b") + "\n";
  write("all.tsv", text);
  LinesImport import = job("all.tsv");
  import.set_aside.fraction = 0.25;
  const Dataset dataset = imported(import);
  std::set<std::string> seen;
  for (const char* split : {"train", "test"})
    for (const TextSample& one : samples_of(*dataset.split(split))) {
      EXPECT_EQ(one.label, std::stoi(one.text) % 3 == 0 ? 0 : 1);
      seen.insert(one.text);
    }
  EXPECT_EQ(seen.size(), 400U);
  EXPECT_EQ(dataset.split("train")->count() + dataset.split("test")->count(), 400);
  EXPECT_NEAR(static_cast<double>(dataset.split("test")->count()), 100, 40);
}

TEST_F(ImportLines, LongLinesAreCutBetweenCharacters) {
  write("all.tsv", "abc\xc3\xb1\x64\tx\nab\xe2\x82\xac\ty\nab\tx\n");
  LinesImport import = job("all.tsv");
  import.length = 4;
  EXPECT_EQ(samples_of(*imported(import).split("train")), (std::vector<TextSample>{{"abc", 0}, {"ab", 1}, {"ab", 0}}));
}

TEST_F(ImportLines, WhatCannotBeUsedIsNamedOrLeftOut) {
  const std::string zero("a\0b\tx\n", 6);
  write("bad.tsv", "one\tx\nno class\n\tx\nempty\t\n" + zero + "two\ty\n");
  expect_refused(job("bad.tsv"), {"bad.tsv:2", "no class behind a tab", "--on-error skip"});
  write("zero.tsv", "one\ty\n" + zero);
  expect_refused(job("zero.tsv"), {"zero.tsv:2", "byte of zero"});
  LinesImport skip = job("bad.tsv");
  skip.on_error = OnError::skip;
  testing::internal::CaptureStderr();
  EXPECT_EQ(samples_of(*imported(skip).split("train")), (std::vector<TextSample>{{"one", 0}, {"two", 1}}));
  const std::string said = testing::internal::GetCapturedStderr();
  for (const char* line : {":2:", ":3:", ":4:", ":5:"})
    EXPECT_EQ(said.find(line), said.rfind(line)) << "once, though the file is read twice: " << said;
  EXPECT_NE(said.find("bad.tsv:5"), std::string::npos) << said;
}

TEST_F(ImportLines, ClassesAreTwoAtLeastAndKnown) {
  write("one.tsv", "a\tx\nb\tx\n");
  expect_refused(job("one.tsv"), {"1 class"});
  write("folder/x.txt", "a\n");
  write("folder/y.txt", "\n");
  expect_refused(job("folder"), {"y.txt", "no line"});
  write("two.tsv", "a\tx\nb\ty\n");
  write("test.tsv", "a\tz\n");
  LinesImport import = job("two.tsv");
  import.test_source = path("test.tsv");
  expect_refused(import, {"test.tsv", "'z'"});
  import.set_aside.fraction = 0.5;
  expect_refused(import, {"one of the two"}, ExitCode::usage);
  expect_refused(job("nothing"), {"nothing"});
  fs::create_directory(path("empty"));
  expect_refused(job("empty"), {"no .txt files"});
  write("long.tsv", std::string(5000, 'a') + "\tx\nb\ty\n");
  expect_refused(job("long.tsv"), {"5000 bytes", "--length"}, ExitCode::usage);
}

TEST_F(ImportLines, SenselessWishesAreUsageErrors) {
  write("two.tsv", "a\tx\nb\ty\n");
  LinesImport import = job("two.tsv");
  for (const double fraction : {-0.1, 1.0, std::nan("")}) {
    import.set_aside.fraction = fraction;
    expect_refused(import, {"not in [0, 1)"}, ExitCode::usage);
  }
  import.set_aside.fraction = 1e-9;
  expect_refused(import, {"2 and 0 lines", "--test-fraction"}, ExitCode::usage);
  import.set_aside.fraction = 1 - 1e-9;
  expect_refused(import, {"0 and 2 lines", "--test-fraction"}, ExitCode::usage);
  import = job("two.tsv");
  import.length = -1;
  expect_refused(import, {"samples of -1 bytes"}, ExitCode::usage);
}

TEST_F(ImportLines, ATextIsNotTakenForAClass) {
  std::string text;
  for (int k = 0; k <= 65536; ++k) text += fmt::format("x\t{}\n", k);
  write("all.tsv", text);
  expect_refused(job("all.tsv"), {"all.tsv", "more than 65536 classes", "behind the last tab"});
}

TEST(Names, AreThoseOfTheSeedAndCanBeToldApart) {
  const TempDir dir;
  NamesOptions options{.count = 300, .test_count = 200, .languages = 4};
  options.out = dir / "a";
  const GeneratedNames a = generate_names(options);
  options.out = dir / "b";
  options.name = "a";
  EXPECT_EQ(generate_names(options).index.fingerprint(), a.index.fingerprint());
  options.out = dir / "c";
  options.seed = 2;
  EXPECT_NE(generate_names(options).index.fingerprint(), a.index.fingerprint());
  EXPECT_GT(a.best_accuracy, 0.8);
  EXPECT_LT(a.best_accuracy, 1);
  const Dataset dataset = Dataset::open(dir / "a");
  EXPECT_TRUE(verify_dataset(dataset).problems.empty());
  std::vector<int> counts(4, 0);
  for (const TextSample& one : samples_of(*dataset.split("train"))) {
    EXPECT_TRUE(one.text.size() >= 3 && one.text.size() <= 12) << one.text;
    EXPECT_EQ(one.text.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), std::string::npos) << one.text;
    ++counts.at(static_cast<std::size_t>(one.label));
  }
  for (const int count : counts) EXPECT_GT(count, 30);
}

}  // namespace
}  // namespace trireme
