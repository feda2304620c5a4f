// Regressions: errors in the units of the columns, added up over parts with filling as over all samples at once, the
// losses those of the ops; and what a table must look like.
#include "launcher/run/regression.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>

#include "core/device/memory.hpp"
#include "datasets/import_csv.hpp"
#include "datasets/writer.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

/// Predicts the features.
class FeaturesThemselves : public Module {
 public:
  Value forward(Context&, const Value& x) override { return x; }
};

class RegressionTest : public testing::Test {
 protected:
  static constexpr int rows = 13;

  void SetUp() override {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    std::ofstream file(dir_ / "t.csv");
    file << "a,b,y,z\n";
    for (int k = 0; k < rows; ++k) {
      for (auto& column : columns_) column.push_back(std::round(1000 * normal(random)) / 100);
      columns_[3].back() = 1e4 + 100 * columns_[3].back();
      for (std::size_t c = 0; c < 4; ++c) file << columns_[c].back() << (c < 3 ? "," : "\n");
    }
    file.close();
    import_csv({.source = dir_ / "t.csv",
                .out = dir_ / "set",
                .targets = {"y", "z"},
                .task = CsvImport::Task::regression,
                .scale = CsvImport::Scale::standardise});
    split_ = Dataset::open(dir_ / "set").split("train");
  }

  /// Sums over `parts` parts in batches of `batch`.
  Task::Evaluation evaluate(Regression& task, int parts, std::int64_t batch) {
    std::vector<double> sums;
    for (int part = 0; part < parts; ++part) {
      Loader loader(split_, {.batch = batch,
                             .part = part,
                             .parts = parts,
                             .pass = Pass::evaluate,
                             .threads = 0,
                             .transforms = task.transforms(DType::f32, Mode::eval)});
      while (!loader.finished()) {
        const Batch one = loader.next();
        const auto some = task.evaluate(context_, one);
        sums.resize(some.size());
        for (std::size_t k = 0; k < some.size(); ++k) sums[k] += some[k];
      }
    }
    return task.interpret(sums);
  }

  TempDir dir_;
  std::vector<double> columns_[4];
  std::shared_ptr<const Split> split_;
  FeaturesThemselves model_;
  Stream stream_{Device::cpu()};
  StepAllocator memory_{Device::cpu()};
  Context context_{stream_, memory_};
};

TEST_F(RegressionTest, ErrorsAreThoseOfTheColumnsOnAnyNumberOfParts) {
  Regression task(model_, *split_, {});
  EXPECT_EQ(task.names(), (std::vector<std::string>{"y", "z"}));
  const TableEntry table = *split_->table();
  double absolute[2] = {0, 0}, squared[2] = {0, 0}, spread[2] = {0, 0};
  for (std::size_t t = 0; t < 2; ++t)
    for (std::size_t k = 0; k < rows; ++k) {
      // What stands for a feature in its scaling is a prediction in the target's.
      const double feature = (columns_[t][k] - table.feature_scaling.mean[t]) / table.feature_scaling.deviation[t];
      const double predicted = feature * table.target_scaling.deviation[t] + table.target_scaling.mean[t];
      const double y = columns_[2 + t][k];
      absolute[t] += std::abs(predicted - y) / rows;
      squared[t] += (predicted - y) * (predicted - y) / rows;
      spread[t] += (y - table.target_scaling.mean[t]) * (y - table.target_scaling.mean[t]) / rows;
    }
  for (const auto& [parts, batch] : {std::pair{1, 64}, {1, 4}, {2, 6}, {3, 5}}) {
    const Task::Evaluation found = evaluate(task, parts, batch);
    const std::vector<TargetScore> scores = task.scores(found);
    EXPECT_EQ(found.sums[1], 2 * rows);
    for (std::size_t t = 0; t < 2; ++t) {
      EXPECT_NEAR(scores[t].absolute_error, absolute[t], 1e-5 * absolute[t]) << parts << " parts";
      EXPECT_NEAR(scores[t].squared_error, squared[t], 1e-5 * squared[t]);
      EXPECT_NEAR(scores[t].r2, 1 - squared[t] / spread[t], 1e-4);
    }
    EXPECT_NEAR(*found.absolute_error, (absolute[0] + absolute[1]) / 2, 1e-5 * absolute[1]);
    EXPECT_NEAR(*found.squared_error, (squared[0] + squared[1]) / 2, 1e-5 * squared[1]);
    EXPECT_FALSE(found.accuracy);
    const std::string report = task.report(found);
    for (const char* word : {"target", "R^2", "\nz ", "mean of the targets"})
      EXPECT_NE(report.find(word), std::string::npos) << report;
  }
}

TEST_F(RegressionTest, LossesAreThoseOfTraining) {
  using Loss = RegressionOptions::Loss;
  for (const RegressionOptions& options :
       {RegressionOptions{Loss::squared}, {Loss::absolute}, {Loss::smooth, 0.7}, {Loss::smooth, 2}}) {
    Regression task(model_, *split_, options);
    Loader loader(split_, {.batch = rows, .threads = 0, .transforms = task.transforms(DType::f32, Mode::train)});
    const Batch batch = loader.next();
    const Task::Loss loss = task.loss(context_, batch);
    const std::vector<double> sums = task.evaluate(context_, batch);
    EXPECT_NEAR(loss.sum.tensor().to_vector<float>().front(), sums[0], 1e-5 * sums[0]);
    EXPECT_EQ(loss.targets.to_vector<double>().front(), sums[1]);
  }
}

TEST_F(RegressionTest, ATableHasFeaturesAndTargets) {
  EXPECT_EQ(TableForm::of(*split_).features, 2);
  EXPECT_EQ(TableForm::of(*split_).outputs, 2);
  int made = 0;
  const auto form_of = [&](const std::vector<FieldSpec>& fields, const std::vector<std::string>& classes) {
    const std::string folder = dir_ / std::to_string(made++);
    DatasetWriter writer({.folder = folder, .fields = fields, .class_names = classes});
    writer.begin_split("train", 1);
    const std::vector<std::byte> zeros(64);
    writer.append(1, std::vector<FieldBlock>(fields.size(), FieldBlock{zeros.data()}));
    writer.finish(Json::object());
    return TableForm::of(*Dataset::open(folder).split("train"));
  };
  const FieldSpec x{"x", DType::f32, Shape{3}}, label{"label", DType::i32, Shape{}};
  EXPECT_EQ(form_of({x, label}, {"a", "b"}).outputs, 2);
  EXPECT_EQ(form_of({x, {"y", DType::f64, Shape{}}}, {}).outputs, 1);
  EXPECT_THROW(form_of({x, label}, {"a"}), Error);
  EXPECT_THROW(form_of({x, {"label", DType::u8, Shape{}}}, {"a", "b"}), Error);
  EXPECT_THROW(form_of({x}, {}), Error);
  EXPECT_THROW(form_of({x, {"y", DType::f32, Shape{2, 2}}}, {}), Error);
  EXPECT_THROW(form_of({{"x", DType::u8, Shape{3}}, label}, {"a", "b"}), Error);
  EXPECT_THROW(form_of({label}, {"a", "b"}), Error);
}

}  // namespace
}  // namespace trireme
