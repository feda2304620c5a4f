// The model that judges power cuts, judged itself: by short sequences of operations whose possible outcomes are known.
#include "tests/support/disk_model.hpp"

#include <gtest/gtest.h>

#include <set>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

DiskOperation operation(IoKind kind, const std::string& path, const std::string& other = "") {
  DiskOperation made{.record = {.kind = kind}, .path = path, .other = other, .data = ""};
  made.record.created = kind == IoKind::open ? 1 : 0;
  return made;
}

DiskOperation write(const std::string& path, const std::string& data, std::int64_t offset = 0) {
  DiskOperation made = operation(IoKind::write, path);
  made.record.offset = offset;
  made.record.length = static_cast<std::int64_t>(data.size());
  made.data = data;
  return made;
}

std::string text_of(const DiskImage& image) {
  std::string text;
  for (const auto& [path, bytes] : image) {
    std::string shown = bytes.value_or("/");
    for (char& c : shown) c = c == '\0' ? '0' : c;
    text += fmt::format("{}={} ", path, shown);
  }
  return text;
}

/// All disks a cut behind the last operation may leave, bytes there, missing or zero.
std::set<std::string> outcomes(const DiskImage& before, const std::vector<DiskOperation>& operations) {
  const DiskModel model(before, operations);
  std::size_t combinations = 1;
  for (std::size_t i = 0; i < model.pending(model.size()).size(); ++i) combinations *= 3;
  std::set<std::string> found;
  for (std::size_t which = 0; which < combinations; ++which) {
    std::size_t rest = which;
    const auto choose = [&](const DiskModel::Change&) {
      const std::size_t digit = rest % 3;
      rest /= 3;
      return DiskModel::Fate{.applied = digit != 0, .sectors = digit == 1 ? ~std::uint64_t{0} : 0};
    };
    found.insert(text_of(model.state(model.size(), choose)));
  }
  return found;
}

using Outcomes = std::set<std::string>;

TEST(DiskModel, unsynced_file_may_be_anything) {
  EXPECT_EQ(outcomes({}, {operation(IoKind::open, "a"), write("a", "xy")}), Outcomes({"", "a= ", "a=00 ", "a=xy "}));
}

TEST(DiskModel, sync_of_a_file_keeps_its_bytes_and_not_its_name) {
  const std::vector<DiskOperation> file{operation(IoKind::open, "a"), write("a", "xy"), operation(IoKind::sync, "a")};
  EXPECT_EQ(outcomes({}, file), Outcomes({"", "a=xy "}));
}

TEST(DiskModel, sync_of_a_folder_keeps_its_names_and_not_the_bytes) {
  const std::vector<DiskOperation> file{operation(IoKind::open, "a"), write("a", "xy"), operation(IoKind::sync, ".")};
  EXPECT_EQ(outcomes({}, file), Outcomes({"a= ", "a=00 ", "a=xy "}));
}

TEST(DiskModel, folder_needs_the_sync_of_the_one_it_lies_in) {
  std::vector<DiskOperation> file{operation(IoKind::mkdir, "d"), operation(IoKind::open, "d/a"),
                                  operation(IoKind::sync, "d")};
  EXPECT_EQ(outcomes({}, file), Outcomes({"", "d=/ d/a= "}));
  file.push_back(operation(IoKind::sync, "."));
  EXPECT_EQ(outcomes({}, file), Outcomes({"d=/ d/a= "}));
}

TEST(DiskModel, rename_is_not_done_half) {
  const DiskImage before{{"a", "old"}, {"b", "new"}};
  EXPECT_EQ(outcomes(before, {operation(IoKind::rename, "b", "a")}), Outcomes({"a=old b=new ", "a=new "}));
  EXPECT_EQ(outcomes(before, {operation(IoKind::exchange, "b", "a")}), Outcomes({"a=old b=new ", "a=new b=old "}));
}

TEST(DiskModel, rename_between_folders_needs_both_syncs) {
  const DiskImage before{{"d", std::nullopt}, {"e", std::nullopt}, {"d/a", "x"}};
  const std::string there = "d=/ d/a=x e=/ ", moved = "d=/ e=/ e/a=x ";
  std::vector<DiskOperation> move{operation(IoKind::rename, "d/a", "e/a"), operation(IoKind::sync, "e")};
  EXPECT_EQ(outcomes(before, move), Outcomes({there, moved}));
  move.push_back(operation(IoKind::sync, "d"));
  EXPECT_EQ(outcomes(before, move), Outcomes({moved}));
}

TEST(DiskModel, changes_of_one_name_keep_their_order) {
  const std::vector<DiskOperation> again{operation(IoKind::unlink, "a"), operation(IoKind::mkdir, "a")};
  EXPECT_EQ(outcomes({{"a", "x"}}, again), Outcomes({"a=x ", "", "a=/ "}));
}

TEST(DiskModel, removal_may_overtake_the_rename_of_its_folder) {
  const DiskImage before{{"d", std::nullopt}, {"d/a", "x"}};
  const std::vector<DiskOperation> removal{operation(IoKind::rename, "d", "t"), operation(IoKind::unlink, "t/a")};
  EXPECT_TRUE(outcomes(before, removal).contains("d=/ "));
}

TEST(DiskModel, atomic_write_needs_the_sync_before_its_rename) {
  const DiskImage before{{"a", "old"}};
  std::vector<DiskOperation> replace{operation(IoKind::open, "t"), write("t", "new"), operation(IoKind::sync, "t"),
                                     operation(IoKind::rename, "t", "a"), operation(IoKind::sync, ".")};
  for (std::size_t done = 0; done <= replace.size(); ++done) {
    const std::vector<DiskOperation> part(replace.begin(), replace.begin() + static_cast<std::ptrdiff_t>(done));
    for (const std::string& state : outcomes(before, part)) {
      EXPECT_TRUE(state.starts_with("a=old ") || state == "a=new ") << state << "behind operation " << done;
    }
  }
  replace.erase(replace.begin() + 2);
  EXPECT_EQ(outcomes(before, replace), Outcomes({"a= ", "a=000 ", "a=new "}));
}

TEST(DiskModel, bytes_may_come_in_sectors) {
  const std::string before(1200, 'o'), after(1200, 'n');
  const DiskModel model({{"a", before}}, {write("a", after)});
  const DiskImage torn = model.state(1, [](const auto&) { return DiskModel::Fate{.sectors = 2}; });
  EXPECT_EQ(torn.at("a"), std::string(512, 'o') + std::string(512, 'n') + std::string(176, 'o'));
}

TEST(DiskModel, images_come_back_from_a_folder) {
  const TempDir folder;
  const DiskImage image{{"d", std::nullopt}, {"d/a", std::string("x\0y", 3)}, {"e", std::nullopt}};
  write_image({{"left", "over"}}, folder.path());
  write_image(image, folder.path());
  EXPECT_EQ(read_image(folder.path()), image);
  EXPECT_NE(hash_image(image), hash_image({{"d", std::nullopt}, {"d/a", std::string("x\0z", 3)}, {"e", std::nullopt}}));
}

TEST(DiskModel, cut_journal_is_refused) {
  const TempDir folder;
  write_file_atomically(folder / "journal", "half a record");
  EXPECT_THROW(read_journal(folder / "journal"), Error);
}

}  // namespace
}  // namespace trireme
