// Tables: cells come through as features and targets, whatever their quotes; what is ragged, no number or of no class
// is named with file and line, and nothing half made stays behind.
#include "datasets/import_csv.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "datasets/csv_reader.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Cells = std::vector<std::string>;

class ImportCsv : public testing::Test {
 protected:
  std::string save(const std::string& text, const std::string& name = "t.csv") const {
    write_bytes(dir_ / name, Bytes(text.begin(), text.end()));
    return dir_ / name;
  }
  CsvImport job(const std::string& text) const {
    return {.source = save(text), .out = dir_ / "out", .targets = {"kind"}};
  }
  CsvImport numbers(const std::string& text) const {
    CsvImport import = job(text);
    import.targets = {"y"};
    import.task = CsvImport::Task::regression;
    return import;
  }
  Dataset made() const {
    const Dataset dataset = Dataset::open(dir_ / "out");
    EXPECT_TRUE(verify_dataset(dataset).problems.empty());
    return dataset;
  }
  template <class T>
  std::vector<T> values(const std::string& field, const std::string& name = "train") const {
    const auto samples = made().split(name);
    const int place = samples->field_index(field);
    const auto elements = to_size(samples->fields()[to_size(place)].row.elements());
    std::vector<T> out(to_size(samples->count()) * elements);
    for (std::int64_t row = 0; row < samples->count(); ++row)
      std::memcpy(out.data() + to_size(row) * elements, samples->row(place, row), elements * sizeof(T));
    return out;
  }
  void expect_refused(const CsvImport& import, const std::vector<std::string>& words) const {
    expect_error(ExitCode::corrupt_input, words, [&] { import_csv(import); });
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    EXPECT_FALSE(fs::exists(dir_ / ".out.partial"));
  }
  void expect_usage(const CsvImport& import, const std::vector<std::string>& words) const {
    expect_error(ExitCode::usage, words, [&] { import_csv(import); });
    EXPECT_FALSE(fs::exists(dir_ / "out"));
  }
  std::vector<Cells> records(const std::string& text, char separator = ',') const {
    CsvReader reader(save(text), separator);
    std::vector<Cells> out;
    for (CsvRecord record; reader.next(record);) {
      EXPECT_EQ(record.problem, "") << text;
      out.emplace_back();
      for (std::size_t i = 0; i < record.size(); ++i) out.back().emplace_back(record.cell(i));
    }
    reader.end();
    return out;
  }
  TempDir dir_;
};

TEST_F(ImportCsv, RecordsAreThoseOfRfc4180) {
  const std::vector<Cells> want = {{"a", "b"}, {"1", ""}, {"x,\"y\"\nz", "2"}};
  EXPECT_EQ(records("a,b\n1,\n\"x,\"\"y\"\"\nz\",2\n"), want);
  EXPECT_EQ(records("\xef\xbb\xbf"
                    "a,b\r\n\r\n1,\r\n\"x,\"\"y\"\"\nz\",2"),
            want);
  EXPECT_EQ(records("a\tb\r1\t\r\" x,\"\"y\"\"\nz\"\t 2 ", '\t').size(), 3U);
  EXPECT_EQ(records("\"\"\n a b \n"), (std::vector<Cells>{{""}, {"a b"}}));
  const std::string longer(3 << 20, 'x');  // more than a block
  EXPECT_EQ(records("a," + longer + "\nb," + longer + "\n")[1][1], longer);
  CsvReader reader(save("a\n\"b\nc\"\nd\n"), ',');
  CsvRecord record;
  for (const std::int64_t line : {1, 2, 4}) {
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.line, line);
  }
  EXPECT_FALSE(reader.next(record));
}

TEST_F(ImportCsv, AClassIsPredictedFromColumns) {
  CsvImport import = job("width,id,kind,height\n1.5,a,rose,-2e1\n 2 ,b,\"lily, white\",+3\n3,c,rose,0\n");
  import.dropped = {"id"};
  import_csv(import);
  EXPECT_EQ(values<float>("x"), (std::vector<float>{1.5f, -20, 2, 3, 3, 0}));
  EXPECT_EQ(values<std::int32_t>("label"), (std::vector<std::int32_t>{1, 0, 1}));
  EXPECT_EQ(made().class_names(), (Cells{"lily, white", "rose"}));
  const TableEntry want{.features = {"width", "height"}, .targets = {"kind"}};
  EXPECT_EQ(made().index().table, want);
  EXPECT_EQ(DatasetIndex::read(dir_ / "out").to_text(), made().index().to_text());
}

TEST_F(ImportCsv, ClassesThatAreNumbersAreInTheirOrder) {
  CsvImport import = job("10;0.5\n9;1\n-1;2\n");
  import.header = CsvImport::Header::none;
  import.separator = ';';
  import.targets = {"1"};
  import_csv(import);
  EXPECT_EQ(made().class_names(), (Cells{"-1", "9", "10"}));
  EXPECT_EQ(values<std::int32_t>("label"), (std::vector<std::int32_t>{2, 1, 0}));
}

TEST_F(ImportCsv, NumbersArePredictedAndStandardised) {
  CsvImport import = numbers("a,y,z,c\n1,10,5,7\n3,30,6,7\n5,80,7,7\n");
  import.targets = {"z", "y"};
  import.features = {"c", "a"};
  import_csv(import);
  EXPECT_EQ(values<float>("y"), (std::vector<float>{5, 10, 6, 30, 7, 80}));
  EXPECT_EQ(values<float>("x"), (std::vector<float>{7, 1, 7, 3, 7, 5}));
  import.scale = CsvImport::Scale::standardise;
  import.existing = Existing::replace;
  import.test_source = save("c,z,y,a\n8,1,40,3\n", "test.csv");
  import_csv(import);
  const TableEntry table = *made().index().table;
  EXPECT_EQ(table.feature_scaling.mean, (std::vector<double>{7, 3}));
  EXPECT_NEAR(table.feature_scaling.deviation[1], std::sqrt(8.0 / 3), 1e-12);
  EXPECT_EQ(table.feature_scaling.deviation[0], 1);
  EXPECT_NEAR(table.target_scaling.deviation[1], std::sqrt(2600.0 / 3), 1e-12);
  EXPECT_NEAR(values<float>("x")[1], -2 / std::sqrt(8.0 / 3), 1e-6);
  EXPECT_EQ(values<float>("x", "test"), (std::vector<float>{1, 0}));
  EXPECT_EQ(values<float>("y", "test")[1], 0);
}

TEST_F(ImportCsv, AnotherTableIsTakenInLikeOne) {
  CsvImport first = job("a,kind,b\n1,x,2\n3,y,8\n");
  first.scale = CsvImport::Scale::standardise;
  import_csv(first);
  CsvImport more{.source = save("b,more,kind,a\n5,?,y,2\n"), .out = dir_ / "more", .like = dir_ / "out"};
  import_csv(more);
  const Dataset dataset = Dataset::open(dir_ / "more");
  EXPECT_EQ(dataset.index().table, made().index().table);
  EXPECT_EQ(dataset.class_names(), (Cells{"x", "y"}));
  float x[2];
  std::memcpy(x, dataset.split("train")->row(0, 0), sizeof x);
  EXPECT_EQ(x[0], 0);
  EXPECT_EQ(x[1], 0);
  more.source = save("b,kind,a\n5,z,2\n");
  more.existing = Existing::replace;
  expect_error(ExitCode::corrupt_input, {"t.csv:2", "'z' is none of the 2"}, [&] { import_csv(more); });
  more.dropped = {"b"};
  expect_error(ExitCode::usage, {"give none of them"}, [&] { import_csv(more); });
  write_small(dir_ / "images");
  expect_error(ExitCode::usage, {"no table"},
               [&] { import_csv({.source = more.source, .out = dir_ / "third", .like = dir_ / "images"}); });
}

TEST_F(ImportCsv, ARowThatCannotBeUsedIsNamed) {
  const auto refused = [&](const std::string& row, const std::vector<std::string>& words) {
    std::vector<std::string> all = words;
    all.emplace_back("t.csv:3: ");
    all.emplace_back("--on-error skip");
    expect_refused(job("a,b,kind\n1,2,x\n" + row + "\n3,4,y\n"), all);
  };
  refused("1,2", {"2 cells", "3 columns"});
  refused("1,2,x,4", {"4 cells"});
  refused("1,two,x", {"'two' in the column 'b' is no number", "--drop"});
  refused("1,0x10,x", {"'0x10'"});
  refused("1,\"1,5\",x", {"'1,5'"});
  refused("1,,x", {"'b' is empty"});
  refused("nan,2,x", {"nan in the column 'a'"});
  refused("1,-inf,x", {"-inf"});
  refused("1,1e39,x", {"1e39"});
  refused("1,1e-999,x", {"1e-999"});
  refused("1,2,\"\"", {"'kind' is empty"});
  refused("1,+-2,x", {"'+-2'"});
  refused("1,\"2\"3,x", {"closing quote"});
  refused("1,2\"3,x", {"inside a cell"});
  expect_refused(job("a,b,kind\n1,2,x\n3,\"4,y\n5,6,z\n"), {"t.csv:3", "no end"});
  expect_refused(job("a,b,kind\n1,2,x\n3,4,x\n"), {"1 different value"});
  expect_refused(job("a,b,kind\n"), {"0 different value"});
  expect_refused(numbers("a,y\n"), {"no sample is left"});
  expect_refused(job("a,a,kind\n1,2,x\n"), {"two columns named 'a'"});
  expect_refused(job("a\"b,kind\n1,x\n2,y\n"), {"t.csv:1", "inside a cell"});
  expect_refused(job("\n\n"), {"blank lines"});
  expect_refused(job(""), {"t.csv", "empty"});
  expect_refused(job(std::string("\xff\xfe"
                                 "a\0",
                                 4)),
                 {"UTF-16"});
  expect_refused(job(std::string("\xfe\xff\0a", 4)), {"UTF-16"});
  CsvImport import = job("a,kind\n1,x\n2,y\n");
  import.test_source = save("a,kind\n1,z\n", "test.csv");
  expect_refused(import, {"test.csv:2", "'z' is none of the 2"});
  import.source = dir_ / "nothing";
  expect_refused(import, {"nothing"});
}

TEST_F(ImportCsv, RowsAreLeftOutWhereThatIsWanted) {
  CsvImport import = job("a,kind\n1,x\nnan,x\n2\n3,y\n4,\n5,y\n");
  import.on_error = OnError::skip;
  testing::internal::CaptureStderr();
  import_csv(import);
  const std::string said = testing::internal::GetCapturedStderr();
  for (const char* words : {"t.csv:3: ", "t.csv:4: ", "t.csv:6: ", "3 samples were left out"}) {
    const std::size_t at = said.find(words);
    ASSERT_NE(at, std::string::npos) << said;
    EXPECT_EQ(said.find(words, at + 1), std::string::npos) << said;
  }
  EXPECT_EQ(values<float>("x"), (std::vector<float>{1, 3, 5}));
}

TEST_F(ImportCsv, APartIsPutAsideAndNotLearntFrom) {
  std::string text = "a,y\n";
  for (int k = 0; k < 2000; ++k) text += fmt::format("{0},{0}\n", k);
  CsvImport import = numbers(text);
  import.set_aside = {.fraction = 0.25, .seed = 3};
  import.scale = CsvImport::Scale::standardise;
  import_csv(import);
  const Scaling scaling = made().index().table->target_scaling;
  std::vector<double> all;
  double mean = 0;
  for (const float y : values<float>("y")) {
    all.push_back(y * scaling.deviation[0] + scaling.mean[0]);
    mean += all.back();
  }
  EXPECT_NEAR(mean / static_cast<double>(all.size()), scaling.mean[0], 1e-3);
  const std::vector<float> test = values<float>("y", "test");
  EXPECT_GT(test.size(), 420U);
  EXPECT_LT(test.size(), 580U);
  for (const float y : test) all.push_back(y * scaling.deviation[0] + scaling.mean[0]);
  std::ranges::sort(all);
  ASSERT_EQ(all.size(), 2000U);
  for (int k = 0; k < 2000; ++k) ASSERT_NEAR(all[static_cast<std::size_t>(k)], k, 1e-3);
}

TEST_F(ImportCsv, ANumberTooFarFromTheMeanIsNamed) {
  // Found while the shards are written: what was written so far goes, too.
  for (const char* row : {"3e38,1,1\n", "1e-20,1,3e38\n"}) {
    CsvImport import = numbers("a,b,y\n0,1,0\n1e-20,2,1e-20\n");
    import.scale = CsvImport::Scale::standardise;
    import.test_source = save(std::string("a,b,y\n0,0,0\n") + row, "test.csv");
    expect_refused(import, {"test.csv:3", "too far from the mean"});
  }
}

TEST_F(ImportCsv, NoRecordIsLongerThanMemoryShouldHold) {
  const std::string letters(17 << 20, 'x');
  expect_refused(job("a,kind\n1,\"" + letters + "\"\n"), {"t.csv:2", "does not end within 16 MiB"});
  expect_refused(job("a,kind\n1," + letters + "\n"), {"t.csv:2", "longer than 16 MiB"});
}

TEST_F(ImportCsv, NoSplitIsEmpty) {
  CsvImport import = job("a,kind\n1,x\n2,y\n");
  import.test_source = save("a,kind\n", "test.csv");
  expect_refused(import, {"test.csv", "no sample is left for the split test"});
  import.test_source.clear();
  import.set_aside.fraction = 1e-9;
  expect_refused(import, {"t.csv", "no sample is left for the split test"});
  import.set_aside.fraction = 1 - 1e-9;
  expect_refused(import, {"t.csv", "no sample is left for the split train"});
}

TEST_F(ImportCsv, ANumberIsNotTakenForAClass) {
  std::string text = "a,kind\n";
  for (int k = 0; k <= 65536; ++k) text += fmt::format("1,{}\n", k);
  expect_refused(job(text), {"'kind'", "more than 65536 different values", "--regression"});
}

TEST_F(ImportCsv, SenselessWishesAreUsageErrors) {
  const std::string text = "a,b,kind\n1,2,x\n3,4,y\n";
  const auto wrong = [&](const std::function<void(CsvImport&)>& change, const std::vector<std::string>& words) {
    CsvImport import = job(text);
    change(import);
    expect_usage(import, words);
  };
  wrong([](auto& i) { i.targets = {"knd"}; }, {"no column 'knd'", "a, b, kind"});
  wrong([](auto& i) { i.features = {"c"}; }, {"no column 'c'"});
  wrong([](auto& i) { i.dropped = {"c"}; }, {"no column 'c'"});
  wrong([](auto& i) { i.targets = {}; }, {"no target column"});
  wrong([](auto& i) { i.targets = {"a", "kind"}; }, {"--regression"});
  wrong([](auto& i) { i.features = {"a", "kind"}; }, {"'kind' is named twice"});
  wrong([](auto& i) { i.dropped = {"a", "b"}; }, {"no column that could be a feature"});
  for (const char separator : {'"', '\n', '\r'}) wrong([&](auto& i) { i.separator = separator; }, {"cannot separate"});
  wrong([](auto& i) { i.separator = ';', i.targets = {"kind"}; }, {"Is the separator right?"});
  wrong([](auto& i) { i.set_aside.fraction = 1; }, {"not in [0, 1)"});
  wrong([](auto& i) { i.set_aside.fraction = 0.5, i.test_source = i.source; }, {"choose one"});
}

TEST_F(ImportCsv, AForgedEntryOfATableIsRefused) {
  CsvImport import = numbers("a,y\n1,2\n3,4\n");
  import.scale = CsvImport::Scale::standardise;
  import_csv(import);
  const DatasetIndex good = DatasetIndex::read(dir_ / "out");
  const auto refused = [&](const std::function<void(TableEntry&)>& change) {
    DatasetIndex index = good;
    change(*index.table);
    save(index.to_text(), "out/index.json");
    expect_error(ExitCode::corrupt_input, {"index.json", "table"}, [&] { Dataset::open(dir_ / "out"); });
  };
  refused([](TableEntry& t) { t.features.emplace_back("b"); });
  refused([](TableEntry& t) { t.targets.clear(); });
  refused([](TableEntry& t) { t.feature_scaling.mean.clear(); });
  refused([](TableEntry& t) { t.feature_scaling.deviation[0] = 0; });
  refused([](TableEntry& t) { t.target_scaling.mean[0] = std::nan(""); });
  refused([](TableEntry& t) { t.target_scaling = {{1, 2}, {1, 2}}; });
}

}  // namespace
}  // namespace trireme
