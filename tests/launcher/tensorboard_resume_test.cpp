// A resumed run and TensorBoard: the event files hold each step once, and a TensorBoard that watched the interrupted
// run forgets what is computed again.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "launcher/run/tensorboard.hpp"
#include "tests/launcher/event_file.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

using event_file::Event;
using event_file::only;
using event_file::read_events;

/// A run that is resumed from step 6 twice, and gets less far each time.
class ResumedTensorBoard : public testing::Test {
 protected:
  std::string folder() const { return temp_ / "tensorboard"; }
  TensorBoardWriter writer(std::int64_t first_step) const {
    return TensorBoardWriter({.folder = folder(), .first_step = first_step});
  }
  void write(std::int64_t first_step, std::int64_t last_step, const std::string& value) const {
    auto to = writer(first_step);
    to.text("options", to.start_step(), value);
    for (std::int64_t step = first_step + 1; step <= last_step; ++step) {
      to.scalar("loss", step, std::stod(value));
      if (step % 5 != 0) continue;
      Histogram histogram;
      histogram.add(std::vector<double>{std::stod(value)});
      to.histogram("h", step, histogram);
    }
  }
  void write_thrice() const {
    write(0, 20, "1");
    write(6, 11, "2");
    write(6, 8, "3");
  }
  /// "TAG STEP" of every value in all files.
  std::vector<std::string> everything() const {
    std::vector<std::string> out;
    for (const auto& file : event_file::files_in(folder()))
      for (const Event& event : read_events(file))
        for (const auto& value : event.values) out.push_back(fmt::format("{} {}", only(value, 1).bytes, event.step));
    return out;
  }
  const TempDir temp_;
};

TEST_F(ResumedTensorBoard, no_file_holds_a_step_that_was_computed_again) {
  write_thrice();
  EXPECT_EQ(everything(), (std::vector<std::string>{"options 0", "loss 1", "loss 2", "loss 3", "loss 4", "loss 5",
                                                    "h 5", "loss 6", "options 7", "loss 7", "loss 8"}));
  const auto files = event_file::files_in(folder());
  ASSERT_EQ(files.size(), 3u);
  for (const auto& file : files) EXPECT_EQ(read_events(file).at(0).version, "brain.Event:2");
  const auto last = read_events(files.back());
  EXPECT_TRUE(last.at(1).start);
  EXPECT_EQ(last.at(1).step, 7);
}

TEST_F(ResumedTensorBoard, a_run_from_its_beginning_keeps_nothing) {
  write(0, 3, "1");
  write(0, 2, "2");
  EXPECT_EQ(everything(), (std::vector<std::string>{"options 0", "loss 1", "loss 2"}));
  const auto first = read_events(event_file::files_in(folder()).at(0));
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].version, "brain.Event:2");  // without it TensorBoard would take the file for one of an old form
}

TEST_F(ResumedTensorBoard, rests_of_a_kill_are_removed) {
  write(0, 5, "1");
  const std::string mine = event_file::files_in(folder()).at(0), whole = read_file(mine);
  std::string endless(7, '\0');
  endless += '\x10';  // a length of 2^60
  const std::uint32_t sum = event_file::masked_sum(endless);
  endless.append(reinterpret_cast<const char*>(&sum), 4);
  std::string damaged = whole.substr(0, whole.find("brain.Event:2") + 17);
  damaged.back() ^= 1;
  for (const std::string& rest : {whole.substr(0, 5), whole.substr(0, 20), endless + "text", damaged}) {
    write_file_atomically(mine, whole + rest);
    write_file_atomically(mine + ".77.tmp", whole);  // half of a cut like this one
    { writer(4); }
    std::size_t bytes = 0;
    std::int64_t last = 0;
    for (const auto& message : event_file::records_of(read_file(mine))) {
      bytes += message.size() + 16;
      last = std::max(last, event_file::parse_event(message).step);
    }
    EXPECT_EQ(bytes, read_file(mine).size());
    EXPECT_EQ(last, 4);
    EXPECT_FALSE(std::filesystem::exists(mine + ".77.tmp"));
  }
}

TEST_F(ResumedTensorBoard, other_files_are_left_alone) {
  const std::string foreign = folder() + "/events.out.tfevents.0000000001.other.1", note = folder() + "/note";
  std::filesystem::create_directories(folder());
  write_file_atomically(foreign, "no record at all, but longer than a frame");
  write_file_atomically(note, "text");
  { writer(4); }
  EXPECT_EQ(read_file(foreign), "no record at all, but longer than a frame");
  EXPECT_EQ(read_file(note), "text");
}

TEST_F(ResumedTensorBoard, real_one_shows_each_step_once) {
  if (!event_file::tensorboard_there()) GTEST_SKIP() << "skipped: no tensorboard";
  write_thrice();
  const Json shown = event_file::read_by_tensorboard(folder());
  EXPECT_EQ(shown["server_steps"]["loss"], Json::parse("[1, 2, 3, 4, 5, 6, 7, 8]"));
  EXPECT_EQ(shown["server_steps"]["h"], Json::parse("[5]"));
  EXPECT_EQ(shown["server_steps"]["options"], Json::parse("[0, 7]"));
  const Json loss = Json::parse("[[1,1.0],[2,1.0],[3,1.0],[4,1.0],[5,1.0],[6,1.0],[7,3.0],[8,3.0]]");
  EXPECT_EQ(shown["scalars"]["loss"], loss);
  EXPECT_EQ(shown["histograms"]["h"].size(), 1u);
  EXPECT_EQ(shown["texts"]["options"], Json::parse(R"([[0, "1"], [7, "3"]])"));
}

/// Files put back as they were before each resumption stand for what a TensorBoard that ran all the time has read.
TEST_F(ResumedTensorBoard, one_that_has_read_the_dropped_steps_forgets_them) {
  if (!event_file::tensorboard_there()) GTEST_SKIP() << "skipped: no tensorboard";
  const auto put_back = [](const std::map<std::string, std::string>& texts) {
    for (const auto& [file, text] : texts) write_file_atomically(file, text);
  };
  write(0, 20, "1");
  std::map<std::string, std::string> read_before;
  for (const auto& file : event_file::files_in(folder())) read_before[file] = read_file(file);
  write(6, 11, "2");
  put_back(read_before);
  Json shown = event_file::read_by_tensorboard(folder());
  EXPECT_EQ(shown["server_steps"]["loss"], Json::parse("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"));
  EXPECT_EQ(shown["server_steps"]["h"], Json::parse("[5, 10]"));
  for (const auto& file : event_file::files_in(folder())) read_before[file] = read_file(file);
  write(6, 8, "3");
  put_back(read_before);
  shown = event_file::read_by_tensorboard(folder());
  EXPECT_EQ(shown["server_steps"]["loss"], Json::parse("[1, 2, 3, 4, 5, 6, 7, 8]"));
  EXPECT_EQ(shown["server_steps"]["h"], Json::parse("[5]"));
  EXPECT_EQ(shown["server_steps"]["options"], Json::parse("[0, 7]"));
  EXPECT_EQ(shown["scalars"]["loss"].size(), 8u);
}

}  // namespace
}  // namespace trireme
