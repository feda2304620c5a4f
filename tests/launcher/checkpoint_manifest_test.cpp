// Manifests from a stranger or a failing disk: each is refused by name and place, whatever is wrong, and none makes the
// program leave the folder, take much memory or wait.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "core/io/file.hpp"
#include "tests/launcher/checkpoint_helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class Manifests : public testing::Test {
 protected:
  Manifests() {
    folder_ = save(store_, 4,
                   {random_value("param/w", DType::f32, {6, 10}, 1), random_value("param/b", DType::f32, {10}, 2),
                    random_value("state/n", DType::i64, {2}, 3)});
    path_ = folder_ + "/manifest.json";
    text_ = read_file(path_);
  }
  void expect_refused(const std::string& text, const std::vector<std::string>& words) {
    std::vector<std::string> all = words;
    all.emplace_back("manifest.json");
    expect_error(ExitCode::corrupt_input, all, [&] { CheckpointManifest::parse(text, path_); });
  }
  TempDir dir_;
  CheckpointStore store_{dir_ / "c"};
  std::string folder_, path_, text_;
};

TEST_F(Manifests, any_flipped_bit_is_found) {
  CheckpointManifest::parse(text_, path_);
  std::string text = text_;
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      text[i] = static_cast<char>(text_[i] ^ (1 << bit));
      ASSERT_THROW(CheckpointManifest::parse(text, path_), Error) << "byte " << i << " bit " << bit;
    }
    text[i] = text_[i];
  }
}

TEST_F(Manifests, any_byte_left_out_or_added_is_found) {
  for (std::size_t i = 0; i <= text_.size(); ++i) {
    for (const char extra : {' ', '\n', '0', '"', '\0'}) {
      std::string text = text_;
      text.insert(i, 1, extra);
      ASSERT_THROW(CheckpointManifest::parse(text, path_), Error) << "byte " << i;
    }
    if (i < text_.size()) {
      ASSERT_THROW(CheckpointManifest::parse(text_.substr(0, i) + text_.substr(i + 1), path_), Error) << i;
      ASSERT_THROW(CheckpointManifest::parse(text_.substr(0, i), path_), Error) << i;
    }
  }
}

TEST_F(Manifests, what_is_no_manifest_is_refused) {
  expect_refused("", {});
  expect_refused("null\n", {});
  expect_refused("[]\n", {});
  expect_refused("{}\n", {"format"});
  expect_refused("{\"a\":1e999}", {});
  expect_refused(std::string("\x93HDF\r\n\x1a\n\xff\xfe", 10), {});
  expect_refused(std::string(3'000'000, '['), {"nested deeper than"});
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  expect_refused(deep, {"nested deeper than"});
}

constexpr std::int64_t most_bytes = std::numeric_limits<std::int64_t>::max();

/// What is done to the values of a manifest, and the words that must name it.
struct Edit {
  std::string words;
  std::function<void(Json&)> apply;
};

Json& piece(Json& json, std::size_t tensor = 0) { return json["tensors"][tensor]["pieces"][0]; }

std::vector<Edit> edits_of_paths() {
  std::vector<Edit> edits;
  for (const char* name : {"../x", "/etc/passwd", "..", ".", ".hidden.h5", "a/b.h5", "manifest.json", "", "a b.h5",
                           "a\\b", "a\nb", "rank_0000.h5/"}) {
    edits.push_back({"files[0].name", [name](Json& json) { json["files"][0]["name"] = name; }});
    edits.push_back({"tensors[0].pieces[0].file", [name](Json& json) { piece(json)["file"] = name; }});
  }
  edits.push_back({"files[0].name", [](Json& json) { json["files"][0]["name"] = std::string(4096, 'a'); }});
  edits.push_back({"files[0].name", [](Json& json) { json["files"][0]["name"] = std::string("a\0b", 3); }});
  edits.push_back({"not listed", [](Json& json) { piece(json)["file"] = "rank_0009.h5"; }});
  edits.push_back({"rank_0001.h5 is listed twice", [](Json& json) { json["files"][0]["name"] = "rank_0001.h5"; }});
  return edits;
}

std::vector<Edit> edits_of_sizes() {
  std::vector<Edit> edits;
  for (const char* key : {"first", "count", "offset"}) {
    const std::string place = "tensors[0].pieces[0]";
    for (const Json& value :
         {Json(-1), Json(1.0), Json("1"), Json(nullptr), Json(18446744073709551615U), Json::array()}) {
      edits.push_back({place + "." + key, [key, value](Json& json) { piece(json)[key] = value; }});
    }
    edits.push_back(
        {key == std::string("offset") ? "param/w" : place, [key](Json& json) { piece(json)[key] = most_bytes; }});
  }
  edits.push_back({"pieces[0]", [](Json& json) { piece(json)["count"] = 0; }});
  edits.push_back({"param/w has a piece from element 1", [](Json& json) {
                     piece(json)["first"] = 1;
                     piece(json)["count"] = 29;
                   }});
  edits.push_back({"param/w has a piece from element 30", [](Json& json) { piece(json)["count"] = 29; }});
  edits.push_back({"param/w has a piece from element 30", [](Json& json) { piece(json)["count"] = 31; }});
  edits.push_back({"param/w has 60 elements", [](Json& json) { json["tensors"][0]["pieces"].erase(1); }});
  edits.push_back(
      {"param/w", [](Json& json) { std::swap(json["tensors"][0]["pieces"][0], json["tensors"][0]["pieces"][1]); }});
  edits.push_back({"in the same bytes", [](Json& json) { piece(json, 2)["offset"] = piece(json)["offset"]; }});
  edits.push_back({"in the same bytes",
                   [](Json& json) { piece(json, 2)["offset"] = piece(json)["offset"].get<std::int64_t>() + 116; }});
  edits.push_back({"param/w", [](Json& json) { json["files"][0]["bytes"] = 100; }});
  edits.push_back({"rank_0001.h5 makes the whole larger", [](Json& json) {
                     for (Json& file : json["files"]) file["bytes"] = most_bytes;
                   }});
  edits.push_back({"files[0].bytes", [](Json& json) { json["files"][0]["bytes"] = -1; }});
  return edits;
}

std::vector<Edit> edits_of_shapes() {
  const std::string place = "tensors[0].shape";
  std::vector<Edit> edits;
  const std::vector<Json> shapes = {{4611686018427387904, 4},
                                    {-6, -10},
                                    {6, 10, 1, 1, 1, 1, 1},
                                    {6.0, 10.0},
                                    {"6", "10"},
                                    Json::object(),
                                    "6, 10",
                                    {2305843009213693952},
                                    {4611686018427387904, 4, 0}};
  for (const Json& shape : shapes)
    edits.push_back({place, [shape](Json& json) { json["tensors"][0]["shape"] = shape; }});
  edits.push_back({place, [](Json& json) { json["tensors"][0]["shape"] = {18446744073709551615U}; }});
  edits.push_back({"param/w has 61 elements", [](Json& json) { json["tensors"][0]["shape"] = {61}; }});
  edits.push_back({"tensors[0].pieces[1]", [](Json& json) { json["tensors"][0]["shape"] = {59}; }});
  edits.push_back({"tensors[0].dtype", [](Json& json) { json["tensors"][0]["dtype"] = "f33"; }});
  edits.push_back({"param/w", [](Json& json) { json["tensors"][0]["dtype"] = "f64"; }});
  return edits;
}

std::vector<Edit> edits_of_entries() {
  std::vector<Edit> edits;
  for (const char* key : {"format", "version", "step", "samples", "ranks", "trireme", "created", "data", "options",
                          "trainer", "files", "tensors"}) {
    edits.push_back({key, [key](Json& json) { json.erase(key); }});
    if (key != std::string("options") && key != std::string("trainer")) {
      edits.push_back({key, [key](Json& json) { json[key] = true; }});
    }
  }
  edits.push_back({"it has 13 entries", [](Json& json) { json["more"] = 1; }});
  edits.push_back({"files[0] has 4 entries", [](Json& json) { json["files"][0]["more"] = 1; }});
  edits.push_back({"tensors[0] has 6 entries", [](Json& json) { json["tensors"][0]["more"] = 1; }});
  edits.push_back({"tensors[0].pieces[0] has 7 entries", [](Json& json) { piece(json)["more"] = 1; }});
  edits.push_back({"files[1]", [](Json& json) { json["files"][1] = 5; }});
  edits.push_back({"version is 2, this program reads 1 to 1", [](Json& json) { json["version"] = 2; }});
  edits.push_back({"version is 0", [](Json& json) { json["version"] = 0; }});
  edits.push_back({"format", [](Json& json) { json["format"] = "trireme-dataset"; }});
  edits.push_back({"ranks", [](Json& json) { json["ranks"] = 0; }});
  edits.push_back({"ranks", [](Json& json) { json["ranks"] = 1'000'000'000; }});
  edits.push_back({"param/w is listed twice", [](Json& json) { json["tensors"].push_back(json["tensors"][0]); }});
  edits.push_back({"tensors[0].plane", [](Json& json) { json["tensors"][0]["plane"] = "param/w"; }});
  edits.push_back({"tensors[0].name", [](Json& json) { json["tensors"][0]["name"] = "line\nbreak"; }});
  edits.push_back({"tensors[0].name", [](Json& json) { json["tensors"][0]["name"] = std::string(5000, 'n'); }});
  for (const char* hash : {"", "0", "zz112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF",
                           "00112233445566778899aabbccddeeff0"}) {
    edits.push_back({"xxh3_128", [hash](Json& json) { piece(json)["xxh3_128"] = hash; }});
    edits.push_back({"structure", [hash](Json& json) { json["files"][0]["structure"] = hash; }});
  }
  return edits;
}

TEST_F(Manifests, hostile_values_under_a_right_checksum_are_refused_by_name) {
  const Json good = Json::parse(text_);
  ASSERT_EQ(sealed(good), text_);
  int tried = 0;
  for (const auto& edits : {edits_of_paths(), edits_of_sizes(), edits_of_shapes(), edits_of_entries()}) {
    for (const auto& edit : edits) {
      SCOPED_TRACE(fmt::format("edit {}: {}", tried, edit.words));
      Json json = good;
      edit.apply(json);
      expect_refused(sealed(json), {edit.words});
      write_file_atomically(path_, sealed(json));
      EXPECT_THROW(CheckpointReader{folder_}, Error);
      EXPECT_EQ(verify_checkpoint(folder_).size(), 1U);
      ++tried;
    }
  }
  EXPECT_GT(tried, 100);
}

TEST_F(Manifests, a_changed_value_without_its_checksum_is_refused) {
  Json json = Json::parse(text_);
  json["step"] = 5;
  expect_refused(json.dump(1) + "\n", {"damaged", "checksum"});
  json = Json::parse(text_);
  expect_refused(json.dump() + "\n", {"not as it was written"});
  json["checksum"] = 5;
  expect_refused(json.dump(1) + "\n", {"checksum"});
  json.erase("checksum");
  expect_refused(json.dump(1) + "\n", {"checksum"});
}

TEST_F(Manifests, a_huge_manifest_is_refused_unread) {
  fs::resize_file(path_, (std::uintmax_t{1} << 30) + 1);  // takes no space: it is a hole
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  expect_error(ExitCode::corrupt_input, {path_, "1073741825"}, [&] { CheckpointReader reader(folder_); });
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 300'000) << "KiB of memory were taken";
}

TEST_F(Manifests, links_pipes_and_folders_in_place_of_files_are_refused) {
  const std::string shard = folder_ + "/rank_0001.h5", aside = dir_ / "aside.h5";
  const auto expect_shard = [&](const std::string& word) {
    expect_error(ExitCode::corrupt_input, {shard, word}, [&] { CheckpointReader reader(folder_); });
    const std::string problems = joined(verify_checkpoint(folder_));
    EXPECT_NE(problems.find("rank_0001.h5: is " + word), std::string::npos) << problems;
    EXPECT_NE(problems.find("param/b and 2 other tensors"), std::string::npos) << problems;
  };
  fs::rename(shard, aside);
  expect_shard("missing");
  fs::create_symlink(aside, shard);
  expect_shard("a symbolic link");
  fs::remove(shard);
  fs::create_directory(shard);
  expect_shard("not a regular file");
  fs::remove(shard);
  ASSERT_EQ(::mkfifo(shard.c_str(), 0600), 0);
  expect_shard("not a regular file");
  fs::remove(shard);
  fs::rename(aside, shard);
  EXPECT_EQ(joined(verify_checkpoint(folder_)), "");
  fs::rename(path_, aside);
  fs::create_symlink(aside, path_);
  expect_error(ExitCode::corrupt_input, {path_, "symbolic link"}, [&] { CheckpointReader reader(folder_); });
}

TEST_F(Manifests, a_foreign_file_is_named_but_hinders_no_reader) {
  write_file_atomically(folder_ + "/notes.txt", "text");
  fs::create_directory(folder_ + "/.hidden");
  EXPECT_EQ(verify_checkpoint(folder_).size(), 2U);
  EXPECT_NE(joined(verify_checkpoint(folder_)).find("notes.txt: foreign file"), std::string::npos);
  const CheckpointReader reader(folder_);
  read_range(reader, *reader.find("param", "w"), 0, 60);
}

TEST_F(Manifests, a_file_exchanged_after_opening_is_refused) {
  const CheckpointReader reader(folder_);
  const std::string shard = folder_ + "/rank_0000.h5";
  fs::rename(shard, dir_ / "aside.h5");
  fs::create_symlink(dir_ / "aside.h5", shard);
  expect_error(ExitCode::corrupt_input, {shard, "symbolic link"},
               [&] { read_range(reader, *reader.find("param", "w"), 0, 60); });
}

}  // namespace
}  // namespace trireme
