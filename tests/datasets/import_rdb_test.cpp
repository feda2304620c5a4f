// Texts out of R's lazy-load databases: what is written, what is passed over, what is refused. The databases are made
// here, in the serialisation format of R.
#include "datasets/import_rdb.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

std::string word(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
  return out;
}

std::string serialised(const std::vector<std::string>& lines, std::uint32_t version) {
  std::string out = "X\n" + word(version) + word(0x040100) + word(0x020300);
  if (version == 3) out += word(5) + "UTF-8";
  out += word(16) + word(static_cast<std::uint32_t>(lines.size()));
  for (const std::string& line : lines)
    out += line == "NA" ? word(9) + word(0xffffffffu)
                        : word(0x40009) + word(static_cast<std::uint32_t>(line.size())) + line;
  return out;
}

std::string packed(const std::string& object) {
  uLongf size = compressBound(object.size());
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(object.data()), object.size());
  out.resize(size);
  return word(static_cast<std::uint32_t>(object.size())) + out;
}

const std::vector<std::string> emma = {"", "EMMA, by Jane", "", "NA", "caf\xc3\xa9"};
const std::vector<std::string> other = {"EMMA, by Jane", "two", "three"};

class ImportRdb : public testing::Test {
 protected:
  TempDir dir;
  std::vector<UnpackedText> import(const std::string& bytes) {
    write_file_atomically(dir / "Rdata.rdb", bytes);
    return import_rdb({.file = dir / "Rdata.rdb", .folder = dir / "out", .least_lines = 3});
  }
};

TEST_F(ImportRdb, WritesATextForEachCharacterVector) {
  const std::string integers = "X\n" + word(2) + word(0) + word(0) + word(13) + word(1) + word(7);
  const auto found = import(packed(serialised(emma, 2)) + packed(integers) + packed(serialised({"a", "b"}, 3)) +
                            packed(serialised(other, 3)));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].name, "emma_by_jane.txt");
  EXPECT_EQ(found[1].name, "emma_by_jane_2.txt");
  EXPECT_EQ(read_file(dir / ("out/" + found[0].name)), "\nEMMA, by Jane\n\n\ncaf\xc3\xa9\n");
  EXPECT_EQ(found[0].bytes, 23u);
  EXPECT_THROW(import_rdb({.file = dir / "Rdata.rdb", .folder = dir / "out"}), Error) << "a folder was replaced";
}

TEST_F(ImportRdb, CutOrDamagedAnywhereItIsRefusedAndNothingIsLeft) {
  const std::string whole = packed(serialised(emma, 3));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(import(whole.substr(0, length)), Error) << length;
    EXPECT_FALSE(std::filesystem::exists(dir / "out"));
  }
  for (std::size_t at = 4; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    EXPECT_THROW(import(damaged), Error) << at;  // the checksum of zlib sees every one
  }
  std::string liar = whole;
  liar.replace(0, 4, word(0x7fffffff));
  EXPECT_THROW(import(liar), Error);
}

}  // namespace
}  // namespace trireme
