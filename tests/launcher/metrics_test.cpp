// What a run tells: exact in the file, readable on the screen, and tables and curves that match hand-made numbers.
#include "launcher/run/metrics.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/training_curve.hpp"
#include "launcher/run/class_report.hpp"

namespace trireme {
namespace {

class Metrics : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("trireme-metrics-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    screen_ = ::open((folder_ / "screen").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_GE(screen_, 0);
  }
  void TearDown() override {
    ::close(screen_);
    std::filesystem::remove_all(folder_);
  }
  std::string file() const { return (folder_ / "metrics.jsonl").string(); }
  std::string screen() const { return read_file((folder_ / "screen").string()); }
  std::filesystem::path folder_;
  int screen_ = -1;
};

StepRecord record(std::int64_t step) {
  return {.step = step,
          .epoch = 1,
          .loss = 1.0 / 3.0,
          .samples_per_second = 12345.6789,
          .learning_rate = 0.1,
          .gradient_norm = std::nextafter(2.0, 3.0),
          .waiting_percent = 1.25,
          .communication_percent = 7.5,
          .elapsed_seconds = static_cast<double>(step)};
}

TEST_F(Metrics, file_reads_back_bit_for_bit) {
  StepRecord strange = record(2);
  strange.loss = std::numeric_limits<double>::quiet_NaN();
  strange.gradient_norm = -std::numeric_limits<double>::infinity();
  {
    MetricsWriter writer({.file = file(), .output = screen_});
    writer.step(record(1));
    writer.step(strange);
    writer.validation({.step = 2, .epoch = 1, .loss = 0.7, .accuracy = 0.9125, .elapsed_seconds = 3});
    writer.summary({{"test_accuracy", 0.91}});
  }
  const MetricsHistory history = read_metrics(file());
  ASSERT_EQ(history.steps.size(), 2u);
  EXPECT_EQ(history.steps[0].loss, 1.0 / 3.0);
  EXPECT_EQ(history.steps[0].gradient_norm, std::nextafter(2.0, 3.0));
  EXPECT_EQ(history.steps[0].samples_per_second, 12345.6789);
  EXPECT_TRUE(std::isnan(history.steps[1].loss));
  EXPECT_EQ(history.steps[1].gradient_norm, -std::numeric_limits<double>::infinity());
  ASSERT_EQ(history.validations.size(), 1u);
  EXPECT_EQ(history.validations[0].accuracy, 0.9125);
  EXPECT_NE(read_file(file()).find("\"loss\":\"nan\""), std::string::npos);
}

TEST_F(Metrics, resuming_drops_what_is_computed_again_and_a_half_line) {
  {
    MetricsWriter writer({.file = file(), .output = screen_});
    for (std::int64_t step = 1; step <= 5; ++step) writer.step(record(step));
  }
  write_file_atomically(file(), read_file(file()) + "{\"kind\":\"st");
  {
    MetricsWriter writer({.file = file(), .first_step = 3, .output = screen_});
    writer.step(record(4));
  }
  const MetricsHistory history = read_metrics(file());
  ASSERT_EQ(history.steps.size(), 4u);
  EXPECT_EQ(history.steps.back().step, 4);
}

TEST_F(Metrics, foreign_line_is_named) {
  write_file_atomically(file(), to_json_line(record(1)) + "\nnonsense\n");
  try {
    read_metrics(file());
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::corrupt_input);
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl:2"), std::string::npos) << error.what();
  }
}

TEST_F(Metrics, plain_lines_come_at_an_interval_and_at_the_end) {
  MetricsWriter writer({.total_steps = 25, .line_interval_seconds = 10, .output = screen_});
  for (std::int64_t step = 1; step <= 25; ++step) writer.step(record(step));
  const std::string text = screen();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);  // 1, 11, 21 and the last
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_NE(text.find("step 25/25"), std::string::npos);
}

TEST_F(Metrics, terminal_line_is_refreshed_and_never_wider) {
  {
    MetricsWriter writer({.total_steps = 9, .terminal_columns = 40, .output = screen_});
    writer.step(record(1));
    writer.step(record(2));
    writer.line("hello");
  }
  const std::string text = screen();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.substr(text.rfind("\r\x1b[K")), "\r\x1b[Khello\n");
  EXPECT_EQ(text.substr(1, text.find("\x1b[K") - 1), format_step(record(1), 0, 9).substr(0, 39));
}

TEST_F(Metrics, formats) {
  EXPECT_EQ(format_duration(7), "0:07");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600), "3d 04h");
  EXPECT_EQ(format_duration(-1), "-");
  EXPECT_EQ(format_duration(NAN), "-");
  EXPECT_EQ(format_rate(812.34), "812.3");
  EXPECT_EQ(format_rate(0.5), "0.50");
  EXPECT_EQ(format_rate(12345), "12.35k");
  EXPECT_EQ(format_rate(5e6), "5.00M");
  EXPECT_EQ(format_rate(INFINITY), "-");
  EXPECT_EQ(eta_seconds(10, 40, 5), 15);
  EXPECT_EQ(eta_seconds(40, 40, 5), 0);
  EXPECT_LT(eta_seconds(0, 40, 5), 0);
  EXPECT_LT(eta_seconds(1, 0, 5), 0);
  // Resumed at step 100: the speed is that of the steps since then.
  EXPECT_NE(format_step(record(110), 100, 120).find("ETA 1:50"), std::string::npos);
}

ConfusionMatrix animals() {
  // cat: 3 right, 1 taken for dog. dog: 2 right. cow: seen twice, never predicted. yak: never seen, predicted once.
  return {{"cat", "dog", "cow", "yak"}, {3, 1, 0, 0, 0, 2, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0}};
}

TEST(ClassReport, scores_of_a_hand_made_matrix) {
  const auto scores = class_scores(animals());
  EXPECT_DOUBLE_EQ(scores[0].precision, 3.0 / 4);
  EXPECT_DOUBLE_EQ(scores[0].recall, 3.0 / 4);
  EXPECT_DOUBLE_EQ(scores[0].f1, 0.75);
  EXPECT_DOUBLE_EQ(scores[1].precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(scores[1].recall, 1);
  EXPECT_TRUE(std::isnan(scores[2].precision));
  EXPECT_EQ(scores[2].recall, 0);
  EXPECT_EQ(scores[2].f1, 0);
  EXPECT_EQ(scores[3].precision, 0);
  EXPECT_TRUE(std::isnan(scores[3].recall));
  EXPECT_DOUBLE_EQ(accuracy(animals()), 5.0 / 8);
}

TEST(ClassReport, tables) {
  EXPECT_EQ(confusion_table(animals()),
            "true \\ predicted     0  1  2  3\n"
            "cat               0  3  1  0  0\n"
            "dog               1  0  2  0  0\n"
            "cow               2  1  0  0  1\n"
            "yak               3  0  0  0  0\n");
  EXPECT_EQ(class_report(animals()),
            "class                 precision     recall         F1    samples\n"
            "cat                       0.750      0.750      0.750          4\n"
            "dog                       0.667      1.000      0.800          2\n"
            "cow                           -      0.000      0.000          2\n"
            "yak                       0.000          -      0.000          0\n"
            "mean of seen classes      0.472      0.583      0.517          8\n"
            "accuracy 0.625\n");
}

TEST(ClassReport, empty_and_misshapen) {
  EXPECT_NE(class_report({{"a"}, {0}}).find("accuracy -"), std::string::npos);
  EXPECT_THROW(class_report({{"a", "b"}, {1, 2, 3}}), Error);
}

TEST(TrainingCurve, ticks_are_round_and_cover) {
  EXPECT_EQ(axis_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(87, 91.5, 5), (std::vector<double>{87, 88, 89, 90, 91, 92}));
  for (const auto& [low, high] :
       {std::pair{0.0, 3e7}, {1e-9, 2e-9}, {-3.0, 4.4}, {5.0, 5.0}, {NAN, 1.0}, {0.0, 1e300}}) {
    const auto ticks = axis_ticks(low, high, 6);
    ASSERT_GE(ticks.size(), 2u) << low << " " << high;
    EXPECT_LE(ticks.size(), 14u);
    if (std::isfinite(low)) {
      EXPECT_LE(ticks.front(), low);
      EXPECT_GE(ticks.back(), high);
    }
  }
}

TEST(TrainingCurve, svg_has_the_points_and_gaps) {
  MetricsHistory history;
  for (std::int64_t step = 0; step <= 100; ++step) {
    StepRecord one = record(step);
    one.loss = step == 50 ? NAN : 2.0 - static_cast<double>(step) / 100;
    history.steps.push_back(one);
  }
  history.validations = {{.step = 50, .accuracy = 0.5}, {.step = 100, .accuracy = 0.9}};
  const std::string svg = training_curve_svg(history, "a < b & c");
  const auto count = [&svg](const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = svg.find(part); at != std::string::npos; at = svg.find(part, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("class=\"loss\""), 2u);  // the step without a finite loss parts the curve
  EXPECT_EQ(count("<circle"), 2u);
  EXPECT_EQ(count("a &lt; b &amp; c"), 1u);
  EXPECT_EQ(count("nan"), 0u);
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
}

}  // namespace
}  // namespace trireme
