// Safetensors files and folders: what is written comes back bit for bit, and a file, an index or a folder that breaks
// the format is refused with the name of file and tensor, whatever it claims.
#include "core/io/safetensors.hpp"

#include <sys/stat.h>

#include <filesystem>

#include "core/io/json.hpp"
#include "tests/core/safetensors_helpers.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

class Safetensors : public testing::Test {
 protected:
  const std::uint32_t seed_ = random_seed();
  const testing::ScopedTrace trace_{__FILE__, __LINE__, replay(seed_)};
  const TempDir dir_;
  const std::string path_ = dir_ / "model.safetensors";
  const std::vector<SafeTensorSpec> specs_ = odd_specs();
  const std::string elements_ = random_bytes(total_bytes(specs_), seed_);

  void expect_refused(const std::string& path, const std::vector<std::string>& words) const {
    expect_error(ExitCode::corrupt_input, words, [&] { SafeTensors{path}; });
  }
};

TEST_F(Safetensors, EveryElementTypeComesBack) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, elements_.size()}) {
    SafeTensorsWriter writer(path_, specs_);
    write_all_of(writer, elements_, piece);
    const SafeTensors model(path_);
    EXPECT_EQ(values_of(model), expected_values(specs_, elements_));
    EXPECT_EQ(model.files().at(0).metadata, pytorch_metadata);
    EXPECT_EQ(model.tensors().at(0).bytes.begin % 8, 0);
  }
  EXPECT_EQ(SafeTensors(dir_.path().string()).tensors().size(), specs_.size());
}

TEST_F(Safetensors, APieceOfATensorIsRead) {
  SafeTensorsWriter writer(path_, {{"x", DType::u8, {13}}});
  write_all_of(writer, "abcdefghijklm", 5);
  const SafeTensors model(path_);
  std::string piece(4, '\0');
  model.read(*model.find("x"), 6, std::as_writable_bytes(std::span(piece)));
  EXPECT_EQ(piece, "ghij");
  EXPECT_EQ(model.find("y"), nullptr);
  for (const std::int64_t offset : {-1, 10, 14}) {
    expect_error(ExitCode::failure, {"\"x\" cannot be read: it has 13"},
                 [&] { model.read(*model.find("x"), offset, std::as_writable_bytes(std::span(piece))); });
  }
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  expect_error(ExitCode::corrupt_input, {"shorter", "\"x\"", path_},
               [&] { model.read(*model.find("x"), 9, std::as_writable_bytes(std::span(piece))); });
}

TEST_F(Safetensors, AFileWithoutTensorsIsAFile) {
  SafeTensorsWriter(path_, {}).commit();
  EXPECT_TRUE(SafeTensors(path_).tensors().empty());
  write_text(path_, forged_file("{}", ""));
  EXPECT_TRUE(SafeTensors(path_).tensors().empty());
}

TEST_F(Safetensors, ForeignElementTypesAreKnownByTheirSize) {
  write_text(path_, forged_file(R"({"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},)"
                                R"("w":{"dtype":"I16","shape":[2],"data_offsets":[3,7]}}   )",
                                "abcdefg"));
  const SafeTensors model(path_);
  EXPECT_EQ(values_of(model), (TensorValues{{"mask", "BOOL (3) abc"}, {"w", "I16 (2) defg"}}));
  EXPECT_EQ(safetensors_dtype("BOOL"), std::nullopt);
  EXPECT_EQ(safetensors_dtype("BF16"), DType::bf16);
}

struct Forgery {
  std::string header;
  std::vector<std::string> words;
};

std::string entry(const std::string& name, const std::string& dtype, const std::string& rest) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\"," + rest + "}";
}

/// Two tensors of four bytes; `b` takes the place of the second.
const std::string first = entry("a", "U8", R"("shape":[4],"data_offsets":[0,4])");
const std::string second = entry("b", "U8", R"("shape":[4],"data_offsets":[4,8])");
std::string with_b(const std::string& dtype, const std::string& rest) {
  return "{" + first + "," + entry("b", dtype, rest) + "}";
}

class SafetensorsForged : public Safetensors {
 protected:
  void expect_all_refused(const std::vector<Forgery>& forgeries) const {
    write_text(path_, forged_file("{" + first + "," + second + "}", "abcdefgh"));
    EXPECT_EQ(SafeTensors(path_).tensors().size(), 2U) << "what the forgeries begin from is whole";
    for (const Forgery& forgery : forgeries) {
      SCOPED_TRACE(forgery.header);
      write_text(path_, forged_file(forgery.header, "abcdefgh"));
      std::vector<std::string> words = forgery.words;
      words.push_back(path_);
      expect_refused(path_, words);
    }
  }
};

TEST_F(SafetensorsForged, TextsThatAreNoHeader) {
  const std::string both = first + "," + second;
  expect_all_refused({{"{" + both, {"header of a safetensors file", "parse error"}},
                      {" {" + both + "}", {"does not begin with a brace"}},
                      {"[1]", {"does not begin with a brace"}},
                      {"{" + both + "}x", {"parse error"}},
                      {"{" + first + "," + both + "}", {"the key \"a\" stands twice"}},
                      {"{" + both + R"(,"__metadata__":{"k":1}})", {"__metadata__ has \"k\", which is not a text"}},
                      {"{" + both + R"(,"__metadata__":[]})", {"__metadata__ is not an object"}},
                      {"{" + both + R"(,"__metadata__":{"k":"1","k":"2"}})", {"\"k\" stands twice"}},
                      {"{" + first + R"(,"b":[]})", {"tensor \"b\" is not an object"}},
                      {"{" + both + R"(,"c":)" + std::string(100, '[') + std::string(100, ']') + "}", {"nested"}}});
}

TEST_F(SafetensorsForged, PlacesThatDoNotCoverTheFile) {
  expect_all_refused(
      {{"{" + first + "}", {"4 bytes behind the last tensor belong to none"}},
       {"{" + second + "}", {"4 bytes in front of tensor \"b\" belong to none"}},
       {with_b("U8", R"("shape":[5],"data_offsets":[3,8])"), {"\"a\" and \"b\" lie in the same bytes"}},
       {with_b("U8", R"("shape":[4],"data_offsets":[5,9])"), {"\"b\"", "has 9", "8 bytes behind its header"}},
       {with_b("U8", R"("shape":[4],"data_offsets":[8,4])"), {"ends at 4 before it begins"}},
       {with_b("U8", R"("shape":[4],"data_offsets":[4,8,8])"), {"3 numbers where 2"}},
       {with_b("U8", R"("shape":[4],"data_offsets":[4,-8])"), {"data_offsets has -8"}},
       {with_b("U8", R"("shape":[4],"data_offsets":[4,8.0])"), {"data_offsets has 8.0"}}});
}

TEST_F(SafetensorsForged, TensorsThatContradictThemselves) {
  expect_all_refused(
      {{with_b("U8", R"("shape":[5],"data_offsets":[4,8])"), {"tensor \"b\" has 4 bytes where (5) of U8 are 5"}},
       {with_b("F32", R"("shape":[4],"data_offsets":[4,8])"), {"4 bytes where", "are 16"}},
       {with_b("U8", R"("shape":[-4],"data_offsets":[4,8])"), {"\"b\".shape"}},
       {with_b("U8", R"("shape":[1,1,1,1,1,1,4],"data_offsets":[4,8])"), {"at most 6"}},
       {with_b("F64", R"("shape":[4294967296,4294967296],"data_offsets":[4,8])"), {"\"b\".shape is impossible"}},
       {with_b("F64", R"("shape":[2305843009213693953],"data_offsets":[4,8])"), {"\"b\".shape is impossible"}},
       {with_b("F4", R"("shape":[8],"data_offsets":[4,8])"), {"\"b\".dtype is \"F4\""}},
       {with_b("U8", R"("shape":[4],"data_offsets":[4,8],"x":1)"), {"4 entries where 3"}},
       {with_b("U8", R"("data_offsets":[4,8])"), {"\"b\".shape is missing"}}});
}

TEST_F(Safetensors, LengthsThatTheFileDoesNotHaveAreRefused) {
  expect_refused(path_, {path_, "is missing"});
  write_text(path_, "");
  expect_refused(path_, {"it has 0 bytes"});
  write_text(path_, std::string(7, '\1'));
  expect_refused(path_, {"it has 7 bytes"});
  const std::string whole = forged_file("{}", "");
  for (const std::string& length : {std::string("\3\0\0\0\0\0\0\0", 8), std::string("\0\0\0\0\0\0\0\0", 8),
                                    std::string("\1\0\0\0\0\0\0\0", 8), std::string(8, '\xff')}) {
    write_text(path_, length + whole.substr(8));
    expect_refused(path_, {"not a whole safetensors file", "at most 2 may be header"});
  }
}

TEST_F(Safetensors, AHeaderBeyondTheLimitIsRefusedUnread) {
  write_text(path_, std::string("\1\xe1\xf5\5\0\0\0\0", 8));  // 100000001
  std::filesystem::resize_file(path_, 200'000'000);
  expect_refused(path_, {"100000001 bytes", "at most 100000000 may be header"});
}

TEST_F(Safetensors, OnlyRegularFilesAreOpened) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  expect_refused(path_, {"not a regular file"});
  std::filesystem::remove(path_);
  expect_refused(dir_.path().string(), {"neither model.safetensors nor model.safetensors.index.json"});
  write_text(dir_ / "blob", forged_file("{}", ""));
  std::filesystem::create_symlink("blob", path_);
  EXPECT_TRUE(SafeTensors(dir_.path().string()).tensors().empty()) << "a link, as in a cache of models";
}

TEST_F(Safetensors, AWriterThatIsNotFinishedLeavesTheOldFile) {
  write_text(path_, "old");
  const auto names = [&] { return std::distance(std::filesystem::directory_iterator(dir_.path()), {}); };
  {
    SafeTensorsWriter writer(path_, {{"x", DType::u8, {3}}});
    EXPECT_EQ(names(), 2);
    writer.append(std::as_bytes(std::span("ab", 2)));
    expect_error(ExitCode::failure, {"1 bytes of its tensors are missing"}, [&] { writer.commit(); });
    expect_error(ExitCode::failure, {"1 bytes beyond"}, [&] { writer.append(std::as_bytes(std::span("ab", 2))); });
  }
  EXPECT_EQ(names(), 1);
  EXPECT_EQ(read_text(path_), "old");
  expect_error(ExitCode::failure, {"\"x\"", "a name for each"}, [&] {
    SafeTensorsWriter(path_, {{"x", DType::u8, {1}}, {"x", DType::u8, {1}}});
  });
  expect_error(ExitCode::failure, {"name"}, [&] { SafeTensorsWriter(path_, {{"\xff", DType::u8, {1}}}); });
  expect_error(ExitCode::failure, {"name"}, [&] { SafeTensorsWriter(path_, {{"__metadata__", DType::u8, {1}}}); });
  expect_error(ExitCode::storage, {"cannot create", "none/x"}, [&] { SafeTensorsWriter(dir_ / "none/x", {}); });
  EXPECT_EQ(names(), 1);
}

class SafetensorsShards : public Safetensors {
 protected:
  const std::string folder_ = dir_.path().string();
  const std::string index_ = folder_ + "/model.safetensors.index.json";

  void SetUp() override {
    SafeTensorsFolderWriter writer(folder_, specs_, 50);
    write_all_of(writer, elements_, 50);
    ASSERT_EQ(writer.files().size(), 5U);
    ASSERT_EQ(writer.files()[1], "model-00002-of-00004.safetensors");
    ASSERT_EQ(writer.files()[4], "model.safetensors.index.json");
  }
  Json index() const { return Json::parse(read_text(index_)); }
  std::string file_of(const std::string& tensor) const { return index()["weight_map"][tensor].get<std::string>(); }
  void expect_index_refused(const Json& json, std::vector<std::string> words) const {
    write_text(index_, json.dump());
    words.push_back(index_);
    expect_refused(folder_, words);
  }
};

TEST_F(SafetensorsShards, ComeBackAsOneModel) {
  const SafeTensors model(folder_);
  EXPECT_EQ(values_of(model), expected_values(specs_, elements_));
  ASSERT_EQ(model.files().size(), 4U);
  EXPECT_EQ(index()["metadata"]["total_size"], elements_.size());
  std::map<std::size_t, std::int64_t> bytes;
  for (const SafeTensor& tensor : model.tensors()) bytes[tensor.file] += tensor.size();
  for (const auto& [file, size] : bytes) EXPECT_LE(size, 168) << "the largest tensor is larger than a shard may be";
  Json without = index();
  without.erase("metadata");
  write_text(index_, without.dump());
  EXPECT_EQ(SafeTensors(folder_).tensors().size(), specs_.size());
}

TEST_F(SafetensorsShards, OneShardNeedsNoIndex) {
  const TempDir other;
  SafeTensorsFolderWriter writer(other.path().string(), specs_, 1'000'000);
  write_all_of(writer, elements_, 1000);
  EXPECT_EQ(writer.files(), std::vector<std::string>{"model.safetensors"});
  EXPECT_FALSE(std::filesystem::exists(other / "model.safetensors.index.json"));
  EXPECT_EQ(values_of(SafeTensors(other.path().string())), expected_values(specs_, elements_));
}

TEST_F(SafetensorsShards, TheIndexIsWrittenLast) {
  const TempDir other;
  SafeTensorsFolderWriter writer(other.path().string(), specs_, 50);
  writer.append(std::as_bytes(std::span(elements_)).first(200));
  EXPECT_THROW(writer.commit(), Error);
  EXPECT_FALSE(std::filesystem::exists(other / "model.safetensors.index.json"));
}

TEST_F(SafetensorsShards, AMissingShardIsNamed) {
  std::filesystem::remove(folder_ + "/" + file_of("half"));
  expect_refused(folder_, {file_of("half"), "is missing"});
}

TEST_F(SafetensorsShards, AnIndexThatIsNotTrueIsRefused) {
  const Json whole = index();
  const std::string halves = file_of("half"), ints = file_of("int");
  Json json = whole;
  json["weight_map"]["more"] = halves;
  expect_index_refused(json, {"\"more\" should lie in " + halves + ", which does not have it"});
  json = whole;
  json["weight_map"].erase("half");
  expect_index_refused(json, {"\"half\" lies in " + halves + " and is not in weight_map"});
  json = whole;
  json["weight_map"]["int"] = halves;
  expect_index_refused(json, {"\"int\" lies in " + ints + ", weight_map says in " + halves});
  json = whole;
  json["metadata"]["total_size"] = 17;
  expect_index_refused(json, {"total_size is 17, the tensors have"});
  json = whole;
  json.erase("weight_map");
  expect_index_refused(json, {"weight_map is missing"});
  json["weight_map"] = Json::object();
  expect_index_refused(json, {"weight_map is empty"});
  write_text(index_, R"({"weight_map":{"a":"b","a":"c"}})");
  expect_refused(folder_, {"\"a\" stands twice"});
}

TEST_F(SafetensorsShards, NamesThatLeadElsewhereAreRefused) {
  for (const char* name :
       {"../other.safetensors", "/etc/passwd", "..", ".", ".hidden", "", "a/b.safetensors", "a\nb"}) {
    Json json = index();
    json["weight_map"]["half"] = name;
    expect_index_refused(json, {"\"half\" lies in", "no plain name of a file"});
  }
  Json json = index();
  json["weight_map"]["half"] = 7;
  expect_index_refused(json, {"no name of a file for \"half\""});
}

TEST_F(SafetensorsShards, ATensorInTwoShardsIsRefused) {
  SafeTensorsWriter writer(folder_ + "/" + file_of("none"), {{"f64", DType::u8, {1}}});
  write_all_of(writer, "x", 1);
  expect_refused(folder_, {"\"f64\" lies in two shards"});
}

}  // namespace
}  // namespace trireme
