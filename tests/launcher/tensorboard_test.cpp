// Event files as a reader finds them: byte by byte by a reader of the tests' own, and through the real TensorBoard
// where there is one. Storage that fails costs the rest of the file and nothing else.
#include "launcher/run/tensorboard.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>

#include "tests/launcher/event_file.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

using event_file::as_double;
using event_file::as_float;
using event_file::Event;
using event_file::only;
using event_file::read_events;

class TensorBoard : public testing::Test {
 protected:
  TensorBoardWriter writer(std::int64_t first_step = 0) const {
    return TensorBoardWriter({.folder = folder(), .first_step = first_step});
  }
  std::string folder() const { return temp_ / "tensorboard"; }
  std::string only_file() const {
    const auto files = event_file::files_in(folder());
    EXPECT_EQ(files.size(), 1u);
    return files.at(0);
  }
  const TempDir temp_;
};

class RealTensorBoard : public TensorBoard {
 protected:
  void SetUp() override {
    if (!event_file::tensorboard_there()) GTEST_SKIP() << "skipped: no tensorboard";
  }
};

const std::vector<std::uint8_t> pixels = {0, 1, 2, 3, 4, 5, 60, 70, 80, 90, 250, 255, 9, 8, 7, 6, 5, 4};  // 3 x 2 RGB

void write_one_of_each(TensorBoardWriter& to) {
  to.scalar("a/scalar", 3, 0.1);
  to.scalars(4, {{"a/scalar", -2.5}, {"b", std::numeric_limits<double>::quiet_NaN()}});
  Histogram histogram;
  histogram.add(std::vector<float>{0, 0, 3, -1, INFINITY});
  to.histogram("c/histogram", 300, histogram);
  if (png_available()) to.image("d/image", 5, {.width = 3, .height = 2, .channels = 3, .pixels = pixels});
  to.text("e/text", std::int64_t{1} << 40, "| a | b |\n|---|---|\n| \xc3\xa4 | 2 |\n");
}

TEST_F(TensorBoard, a_file_begins_with_version_and_start) {
  const double before = static_cast<double>(std::time(nullptr));
  { writer(); }
  const auto events = read_events(only_file());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_TRUE(events[1].start);
  EXPECT_EQ(events[1].step, 0);
  EXPECT_GE(events[0].wall_time, before);
  EXPECT_LE(events[0].wall_time, before + 60);
  const std::string name = std::filesystem::path(only_file()).filename();
  EXPECT_EQ(name.substr(0, 20), "events.out.tfevents.");
  EXPECT_TRUE(name.ends_with("." + std::to_string(::getpid()))) << name;
}

TEST_F(TensorBoard, values_read_back) {
  {
    auto to = writer();
    write_one_of_each(to);
  }
  const auto events = read_events(only_file());
  std::size_t at = 2;
  EXPECT_EQ(events.at(at).step, 3);
  EXPECT_EQ(only(events[at].values.at(0), 1).bytes, "a/scalar");
  EXPECT_EQ(as_float(only(events[at].values[0], 2)), 0.1f);
  const Event& pair = events.at(++at);
  ASSERT_EQ(pair.values.size(), 2u);
  EXPECT_EQ(as_float(only(pair.values[0], 2)), -2.5f);
  EXPECT_EQ(only(pair.values[1], 1).bytes, "b");
  EXPECT_TRUE(std::isnan(as_float(only(pair.values[1], 2))));
  const Event& counted = events.at(++at);
  EXPECT_EQ(counted.step, 300);
  ASSERT_EQ(counted.values.size(), 2u);
  const auto histogram = event_file::inner(counted.values[0], 5);
  const std::vector<double> sums = {-1, 3, 4, 2, 10};  // min, max, num, sum, sum_squares
  for (int field = 1; field <= 5; ++field)
    EXPECT_EQ(as_double(only(histogram, field)), sums[static_cast<std::size_t>(field - 1)]) << field;
  EXPECT_EQ(event_file::packed_doubles(only(histogram, 7)), (std::vector<double>{0, 1, 0, 2, 0, 1}));
  const auto limits = event_file::packed_doubles(only(histogram, 6));
  ASSERT_EQ(limits.size(), 6u);
  EXPECT_TRUE(limits[0] <= -1 && -1 < limits[1]);
  EXPECT_TRUE(limits[2] <= 0 && 0 < limits[3]);
  EXPECT_TRUE(limits[4] <= 3 && 3 < limits[5]);
  EXPECT_EQ(only(counted.values[1], 1).bytes, "c/histogram/not_finite");
  EXPECT_EQ(as_float(only(counted.values[1], 2)), 1.0f);
  if (png_available()) {
    const auto image = event_file::inner(events.at(++at).values.at(0), 4);
    EXPECT_EQ(only(image, 1).number, 2u);
    EXPECT_EQ(only(image, 2).number, 3u);
    EXPECT_EQ(only(image, 3).number, 3u);
    EXPECT_EQ(only(image, 4).bytes.substr(1, 3), "PNG");
  }
  const Event& text = events.at(++at);
  EXPECT_EQ(text.step, std::int64_t{1} << 40);
  const auto tensor = event_file::inner(text.values.at(0), 8), metadata = event_file::inner(text.values[0], 9);
  EXPECT_EQ(only(tensor, 1).number, 7u);
  EXPECT_EQ(only(tensor, 2).bytes, "");
  EXPECT_EQ(only(tensor, 8).bytes, "| a | b |\n|---|---|\n| \xc3\xa4 | 2 |\n");
  EXPECT_EQ(only(event_file::inner(metadata, 1), 1).bytes, "text");
  EXPECT_EQ(events.size(), at + 1);
}

TEST_F(TensorBoard, each_record_is_one_write) {
  const auto writes = [] {
    const std::string counters = std::filesystem::exists("/proc/self/io") ? read_file("/proc/self/io") : "";
    const std::size_t at = counters.find("syscw: ");
    return at == std::string::npos ? -1 : std::stoll(counters.substr(at + 7));
  };
  auto to = writer();
  const long long before = writes();
  if (before < 0) GTEST_SKIP() << "skipped: no /proc/self/io";
  for (std::int64_t step = 0; step < 10; ++step) to.scalar("a", step, 1);
  to.text("long", 10, std::string(1 << 20, 'x'));
  EXPECT_EQ(writes() - before, 11);
  EXPECT_EQ(read_events(only_file()).size(), 13u);  // nothing waits for the end
}

TEST_F(TensorBoard, a_cut_off_last_record_hides_no_other) {
  {
    auto to = writer();
    write_one_of_each(to);
  }
  const std::string whole = read_file(only_file());
  const std::size_t records = read_events(only_file()).size();
  std::size_t last = 0;
  for (std::size_t cut = whole.size() - 1; cut > whole.size() - 40; --cut) {
    const auto read = event_file::records_of(std::string_view(whole).substr(0, cut)).size();
    EXPECT_EQ(read, records - 1);
    last = read;
  }
  EXPECT_GT(last, 3u);
}

TEST_F(TensorBoard, a_later_file_sorts_last_whatever_the_clock_says) {
  std::filesystem::create_directories(folder());
  const std::string ahead = folder() + "/events.out.tfevents.9999999000.zhost.99999";
  write_file_atomically(ahead, "");
  write_file_atomically(folder() + "/events.out.tfevents.strange", "");
  const auto first = writer(), second = writer();
  EXPECT_GT(first.path(), ahead);
  EXPECT_GT(second.path(), first.path());
}

TEST_F(TensorBoard, a_folder_that_cannot_be_made_is_one_warning) {
  write_file_atomically(temp_ / "tensorboard", "a file where the folder should be");
  testing::internal::CaptureStderr();
  {
    auto to = writer();
    EXPECT_FALSE(to.on());
    write_one_of_each(to);
    to.flush();
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_NE(said.find("warning: TensorBoard:"), std::string::npos) << said;
  EXPECT_NE(said.find(folder()), std::string::npos) << said;
}

TEST_F(TensorBoard, a_full_disk_is_one_warning_and_what_was_written_stays) {
  auto to = writer();
  to.scalar("a", 1, 1);
  // A limit on file sizes is the full disk that a test can have.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  testing::internal::CaptureStderr();
  to.text("long", 2, std::string(2000, 'x'));
  const bool on_after_failure = to.on();
  for (std::int64_t step = 3; step < 10; ++step) to.scalar("a", step, 1);
  to.flush();
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(on_after_failure);
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_NE(said.find(to.path()), std::string::npos) << said;
  const auto events = read_events(only_file());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].step, 1);
}

TEST_F(TensorBoard, an_image_that_cannot_be_encoded_is_left_out) {
  auto to = writer();
  testing::internal::CaptureStderr();
  to.image("a", 1, {.width = 3, .height = 3, .channels = 3, .pixels = pixels});
  to.image("a", 2, {.width = 3, .height = 3, .channels = 3, .pixels = pixels});
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_TRUE(to.on());
  EXPECT_EQ(read_events(only_file()).size(), 2u);
}

TEST_F(RealTensorBoard, shows_what_was_written) {
  {
    auto to = writer();
    write_one_of_each(to);
  }
  const Json shown = event_file::read_by_tensorboard(folder());
  const Json scalar = Json::parse("[[3, 0.10000000149011612], [4, -2.5]]");
  EXPECT_EQ(shown["scalars"]["a/scalar"], scalar);
  EXPECT_EQ(shown["scalars"]["b"], Json::parse(R"([[4, "nan"]])"));
  EXPECT_EQ(shown["scalars"]["c/histogram/not_finite"], Json::parse("[[300, 1.0]]"));
  const Json histogram = shown["histograms"]["c/histogram"].at(0).at(1);
  EXPECT_EQ(histogram["num"], 4.0);
  EXPECT_EQ(histogram["min"], -1.0);
  EXPECT_EQ(histogram["sum_squares"], 10.0);
  EXPECT_EQ(histogram["counts"], Json::parse("[0.0, 1.0, 0.0, 2.0, 0.0, 1.0]"));
  EXPECT_EQ(shown["texts"]["e/text"].at(0).at(1), "| a | b |\n|---|---|\n| \xc3\xa4 | 2 |\n");
  EXPECT_EQ(shown["server_steps"]["c/histogram"], Json::parse("[300]"));
  EXPECT_EQ(shown["server_steps"]["e/text"], Json::parse("[1099511627776]"));
  if (!png_available()) return;
  const Json image = shown["images"]["d/image"].at(0).at(1);
  EXPECT_EQ(image["mode"], "RGB");
  EXPECT_EQ(image["size"], Json::parse("[3, 2]"));
  std::string hex;
  for (const auto pixel : pixels) hex += fmt::format("{:02x}", pixel);
  EXPECT_EQ(image["pixels"], hex);
}

TEST_F(RealTensorBoard, reads_on_behind_a_cut_off_record) {
  {
    auto to = writer();
    to.scalar("a", 1, 1);
    to.scalar("a", 2, 2);
  }
  std::filesystem::resize_file(only_file(), std::filesystem::file_size(only_file()) - 5);
  EXPECT_EQ(event_file::read_by_tensorboard(folder())["scalars"]["a"], Json::parse("[[1, 1.0]]"));
  {
    auto to = writer(1);
    to.scalar("a", 2, 20);
  }
  EXPECT_EQ(event_file::read_by_tensorboard(folder())["scalars"]["a"], Json::parse("[[1, 1.0], [2, 20.0]]"));
}

}  // namespace
}  // namespace trireme
