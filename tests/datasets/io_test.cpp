// Reading plain and compressed files, mapping, checksums.
#include <gtest/gtest.h>

#include <random>

#include "core/io/gzip.hpp"
#include "core/io/hash.hpp"
#include "core/io/mapped_file.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

Bytes noise(std::size_t count) {
  std::mt19937 bits(7);
  Bytes out(count);
  for (auto& b : out) b = static_cast<std::uint8_t>(bits() & 0x3f);
  return out;
}

Bytes read_all(const std::string& path, std::size_t piece) {
  InputFile file(path);
  Bytes out;
  for (;;) {
    std::vector<std::byte> block(piece);
    const std::size_t got = file.read(block);
    for (std::size_t i = 0; i < got; ++i) out.push_back(std::to_integer<std::uint8_t>(block[i]));
    if (got < piece) break;
  }
  file.expect_end();
  EXPECT_EQ(file.stored_hash(), hash_bytes(read_bytes(path).data(), read_bytes(path).size()));
  return out;
}

TEST(InputFile, ReadsPlainAndCompressedAlike) {
  const TempDir dir;
  const Bytes data = noise(1'000'000);
  write_bytes(dir / "plain", data);
  write_gzip(dir / "packed", data, "wb");
  const Bytes first(data.begin(), data.begin() + 400'000), second(data.begin() + 400'000, data.end());
  write_gzip(dir / "members", first, "wb");
  write_gzip(dir / "members", second, "ab");
  for (const char* name : {"plain", "packed", "members"}) {
    EXPECT_EQ(read_all(dir / name, 100'003), data) << name;
    EXPECT_EQ(read_all(dir / name, 2'000'000), data) << name;
  }
  EXPECT_LT(read_bytes(dir / "packed").size(), data.size());
}

TEST(InputFile, RefusesDamage) {
  const TempDir dir;
  write_gzip(dir / "good", noise(50'000), "wb");
  const Bytes good = read_bytes(dir / "good");
  for (std::size_t length = 2; length < good.size(); length += 997) {
    write_bytes(dir / "cut", Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)));
    expect_error(ExitCode::corrupt_input, {"cut", "cut off"}, [&] { read_all(dir / "cut", 1 << 20); });
  }
  Bytes flipped = good;
  flipped[flipped.size() / 2] ^= 1;
  write_bytes(dir / "flipped", flipped);
  expect_error(ExitCode::corrupt_input, {"flipped", "damaged"}, [&] { read_all(dir / "flipped", 1 << 20); });
  Bytes longer = good;
  longer.push_back('x');
  write_bytes(dir / "longer", longer);
  expect_error(ExitCode::corrupt_input, {"longer", "other bytes"}, [&] { read_all(dir / "longer", 1 << 20); });
  expect_error(ExitCode::corrupt_input, {"nowhere", "No such file"}, [&] { InputFile file(dir / "nowhere"); });
}

TEST(MappedFile, ChecksTheSizeBeforeMapping) {
  const TempDir dir;
  write_bytes(dir / "f", {1, 2, 3});
  EXPECT_EQ(std::to_integer<int>(MappedFile(dir / "f", 3).bytes()[2]), 3);
  expect_error(ExitCode::corrupt_input, {"3 bytes", "4 are expected"}, [&] { MappedFile map(dir / "f", 4); });
  expect_error(ExitCode::corrupt_input, {"nowhere"}, [&] { MappedFile map(dir / "nowhere", 4); });
  write_bytes(dir / "empty", {});
  EXPECT_EQ(MappedFile(dir / "empty", 0).size(), 0U);
}

TEST(Hash, IsXxh3OfTheBytesHoweverTheyCome) {
  // The reference value is in the xxHash specification's sanity checks for no input and seed 0.
  EXPECT_EQ(hash_bytes(nullptr, 0).hex(), "99aa06d3014798d86001c324468d497f");
  const Bytes data = noise(10'000);
  Hasher pieces;
  for (std::size_t at = 0; at < data.size(); at += 333)
    pieces.update(data.data() + at, std::min<std::size_t>(333, data.size() - at));
  EXPECT_EQ(pieces.digest(), hash_bytes(data.data(), data.size()));
  EXPECT_NE(hash_text("a"), hash_text("b"));
}

}  // namespace
}  // namespace trireme
