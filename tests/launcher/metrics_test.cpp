// What a run tells: exact in the file, readable on the screen, and tables and curves that match hand-made numbers.
#include "launcher/run/metrics.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
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

std::vector<std::int64_t> steps_in(const std::string& path) {
  std::vector<std::int64_t> steps;
  for (const StepRecord& one : read_metrics(path).steps) steps.push_back(one.step);
  return steps;
}

TEST_F(Metrics, resuming_keeps_what_belongs_to_the_steps_done) {
  {
    MetricsWriter writer({.file = file(), .output = screen_});
    for (std::int64_t step = 1; step <= 3; ++step) writer.step(record(step));
    writer.validation({.step = 3, .epoch = 1, .accuracy = 0.5});
    writer.event(3, "checkpoint", "step_00000003");
    writer.step(record(4));
    writer.validation({.step = 4, .epoch = 2, .accuracy = 0.6});
    writer.event(4, "checkpoint", "step_00000004");
    writer.event(4, "resume", "from step_00000004");
    writer.event(4, "rollback", "to step 3");
    writer.summary({{"test_accuracy", 0.91}});
  }
  write_file_atomically(file(), read_file(file()) + "{\"kind\":\"later\",\"x\":1}\n{\"kind\":\"later\",\"step\":9}\n");
  { const MetricsWriter writer({.file = file(), .first_step = 3, .output = screen_}); }
  const MetricsHistory history = read_metrics(file());
  EXPECT_EQ(steps_in(file()), (std::vector<std::int64_t>{1, 2, 3}));
  ASSERT_EQ(history.validations.size(), 1u);
  EXPECT_EQ(history.validations[0].step, 3);
  std::string events;
  for (const EventRecord& one : history.events) events += fmt::format("{} {}, ", one.event, one.step);
  ASSERT_EQ(events, "checkpoint 3, resume 4, rollback 4, ");
  EXPECT_EQ(history.events[1].text, "from step_00000004");
  const std::string text = read_file(file());
  EXPECT_EQ(text.find("summary"), std::string::npos);
  EXPECT_NE(text.find("\"x\":1"), std::string::npos);
  EXPECT_EQ(text.find("\"step\":9"), std::string::npos);
}

TEST_F(Metrics, damaged_lines_are_named_and_the_rest_goes_on) {
  std::string text;
  for (std::int64_t step = 1; step <= 4; ++step) text += to_json_line(record(step)) + "\n";
  const std::string damaged = std::string(7, '\0') + "\n{\"kind\":\"step\",\"step\":3}\n\n[1]\n";
  write_file_atomically(file(), text + damaged + to_json_line(record(5)) + "\n" + to_json_line(record(6)) + "\n");
  testing::internal::CaptureStderr();
  { const MetricsWriter writer({.file = file(), .first_step = 5, .output = screen_}); }
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(steps_in(file()), (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
  for (const char* line : {"metrics.jsonl:5:", "metrics.jsonl:6:", "metrics.jsonl:7:", "metrics.jsonl:8:"}) {
    EXPECT_NE(warnings.find(line), std::string::npos) << warnings;
  }
  EXPECT_EQ(warnings.find("metrics.jsonl:9:"), std::string::npos) << warnings;
}

TEST_F(Metrics, any_cut_and_resume_leaves_each_step_once) {
  std::string whole;
  std::vector<std::size_t> ends;  // of step k + 1
  for (std::int64_t step = 1; step <= 6; ++step) {
    whole += to_json_line(record(step)) + "\n";
    ends.push_back(whole.size());
    if (step % 2 == 0) whole += to_json_line(EventRecord{.step = step, .event = "checkpoint"}) + "\n";
  }
  std::vector<std::size_t> cuts;
  for (std::size_t bytes = 0; bytes <= whole.size(); bytes += 13) cuts.push_back(bytes);
  for (const std::size_t end : ends) cuts.insert(cuts.end(), {end - 1, end});  // a record without its line end
  // The power may go at any byte; the run goes on at any step whose records were there.
  for (const std::size_t bytes : cuts) {
    const auto there = std::count_if(ends.begin(), ends.end(), [&](std::size_t end) { return end <= bytes; });
    for (std::int64_t first = 0; first <= there; ++first) {
      write_file_atomically(file(), whole.substr(0, bytes));
      {
        MetricsWriter writer({.file = file(), .first_step = first, .output = screen_});
        for (std::int64_t step = first + 1; step <= 6; ++step) writer.step(record(step));
      }
      ASSERT_EQ(steps_in(file()), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6})) << bytes << " bytes, from " << first;
    }
  }
}

TEST_F(Metrics, a_record_without_its_line_end_does_not_spoil_the_next) {
  write_file_atomically(file(), to_json_line(record(1)) + "\n" + to_json_line(record(2)));
  {
    MetricsWriter writer({.file = file(), .first_step = 2, .output = screen_});
    writer.step(record(3));
  }
  EXPECT_EQ(steps_in(file()), (std::vector<std::int64_t>{1, 3}));
}

TEST_F(Metrics, time_goes_on_over_starts) {
  {
    MetricsWriter writer({.file = file(), .elapsed_before = 1000, .output = screen_});
    writer.step(record(7));
    writer.validation({.step = 7, .epoch = 1, .elapsed_seconds = 8});
  }
  EXPECT_EQ(read_metrics(file()).steps[0].elapsed_seconds, 1007);
  EXPECT_EQ(read_metrics(file()).validations[0].elapsed_seconds, 1008);
  EXPECT_NE(screen().find("after 16:48"), std::string::npos) << screen();
}

/// A limit on file sizes is the full disk that a test can have.
class FullDisk {
 public:
  explicit FullDisk(std::size_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before_;
    small.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(Metrics, a_full_disk_costs_no_record_when_it_has_room_again) {
  MetricsWriter writer({.file = file(), .output = screen_});
  writer.step(record(1));
  const std::size_t line = read_file(file()).size();
  std::int64_t last = 1;
  testing::internal::CaptureStderr();
  {
    // Room for one line and a half.
    const FullDisk full(line + line / 2);
    // Long enough for several tries.
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
    for (; std::chrono::steady_clock::now() < end; ++last) {
      writer.step(record(last + 1));
      ::usleep(1000);
    }
    EXPECT_EQ(steps_in(file()), std::vector<std::int64_t>{1});
    EXPECT_THROW(writer.sync(), Error);
  }
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(warnings.begin(), warnings.end(), '\n'), 1) << warnings;
  EXPECT_NE(warnings.find("1 record(s) not written yet, 0 lost"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("metrics.jsonl"), std::string::npos) << warnings;
  writer.step(record(last + 1));
  EXPECT_NO_THROW(writer.sync());
  const auto steps = steps_in(file());
  ASSERT_EQ(steps.size(), static_cast<std::size_t>(last + 1));
  EXPECT_EQ(steps.back(), last + 1);
}

TEST_F(Metrics, what_never_could_be_written_is_counted_at_the_end) {
  testing::internal::CaptureStderr();
  {
    const FullDisk full(10000);
    MetricsWriter writer({.file = file(), .output = screen_});
    for (std::int64_t step = 1; step <= 10; ++step) writer.event(step, "skipped", std::string(1 << 20, 'x'));
  }
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_NE(warnings.find("8 record(s) not written yet, 2 lost"), std::string::npos) << warnings;
}

TEST_F(Metrics, trimming_a_long_file_takes_seconds) {
  constexpr std::int64_t steps = 50000;
  std::string text;
  for (std::int64_t step = 1; step <= steps; ++step) text += to_json_line(record(step)) + "\n";
  write_file_atomically(file(), text);
  const auto begin = std::chrono::steady_clock::now();
  trim_metrics(file(), steps - 10);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(read_file(file()).size(), text.rfind(to_json_line(record(steps - 9))));
  EXPECT_LT(time.count(), 8) << text.size() << " bytes";
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
