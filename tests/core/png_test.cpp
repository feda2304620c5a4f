// PNG files say what they were given: a reader of its own, on zlib alone, gets every pixel back.
#include "core/io/png.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

struct Decoded {
  std::size_t width = 0, height = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

std::size_t big_endian(std::string_view bytes) {
  std::size_t out = 0;
  for (const char c : bytes.substr(0, 4)) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

std::vector<std::uint8_t> inflated(const std::string& data, std::size_t bytes) {
  std::vector<std::uint8_t> out(bytes);
  uLongf size = bytes;
  EXPECT_EQ(uncompress(out.data(), &size, reinterpret_cast<const Bytef*>(data.data()), data.size()), Z_OK);
  EXPECT_EQ(size, bytes);
  return out;
}

/// The predictor of PNG's filters 0 to 4 from the pixels to the left, above, and above left.
int predicted(int filter, int left, int above, int corner) {
  if (filter == 1) return left;
  if (filter == 2) return above;
  if (filter == 3) return (left + above) / 2;
  if (filter != 4) return 0;
  const int guess = left + above - corner;
  const int to_left = std::abs(guess - left), to_above = std::abs(guess - above), to_corner = std::abs(guess - corner);
  if (to_left <= to_above && to_left <= to_corner) return left;
  return to_above <= to_corner ? above : corner;
}

void unfilter(Decoded& image, const std::vector<std::uint8_t>& raw) {
  const std::size_t row_bytes = image.width * image.channels;
  image.pixels.assign(image.height * row_bytes, 0);
  for (std::size_t row = 0; row < image.height; ++row) {
    const std::uint8_t* in = raw.data() + row * (row_bytes + 1);
    const int filter = *in++;
    EXPECT_LE(filter, 4);
    std::uint8_t* out = image.pixels.data() + row * row_bytes;
    for (std::size_t k = 0; k < row_bytes; ++k) {
      const bool has_left = k >= image.channels, has_above = row > 0;
      const int left = has_left ? out[k - image.channels] : 0;
      const int above = has_above ? (out - row_bytes)[k] : 0;
      const int corner = has_left && has_above ? (out - row_bytes)[k - image.channels] : 0;
      out[k] = static_cast<std::uint8_t>(in[k] + predicted(filter, left, above, corner));
    }
  }
}

Decoded decode(std::string_view png) {
  Decoded out;
  EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  std::string data;
  bool ended = false;
  for (std::size_t at = 8; at + 12 <= png.size() && !ended;) {
    const std::size_t length = big_endian(png.substr(at));
    const std::string_view type = png.substr(at + 4, 4), body = png.substr(at + 8, length);
    const auto* checked = reinterpret_cast<const Bytef*>(type.data());
    EXPECT_EQ(crc32(0, checked, static_cast<uInt>(length + 4)), big_endian(png.substr(at + 8 + length))) << type;
    if (type == "IHDR") {
      out.width = big_endian(body);
      out.height = big_endian(body.substr(4));
      EXPECT_EQ(body[8], 8);  // bits a channel
      const int colour = body[9];
      out.channels = colour == 0 ? 1 : colour == 4 ? 2 : colour == 2 ? 3 : colour == 6 ? 4 : 0;
      EXPECT_EQ(body[12], 0);  // not interlaced
    }
    if (type == "IDAT") data += body;
    ended = type == "IEND";
    at += length + 12;
  }
  EXPECT_TRUE(ended);
  unfilter(out, inflated(data, out.height * (out.width * out.channels + 1)));
  return out;
}

class Png : public testing::Test {
 protected:
  void SetUp() override {
    if (!png_available()) GTEST_SKIP() << "skipped: built without libpng";
  }
};

TEST_F(Png, every_pixel_comes_back) {
  const auto seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937 random(seed);
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 7}, {5, 1}, {13, 9}, {28, 28}, {301, 3}}) {
    for (const int channels : {1, 2, 3, 4}) {
      for (const unsigned spread : {256u, 5u}) {  // noise, and something that can be compressed
        std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width * height * channels));
        for (auto& p : pixels) p = static_cast<std::uint8_t>(random() % spread);
        const Decoded back = decode(encode_png({width, height, channels, pixels}));
        SCOPED_TRACE(fmt::format("{} x {} x {}", width, height, channels));
        EXPECT_EQ(back.width, static_cast<std::size_t>(width));
        EXPECT_EQ(back.height, static_cast<std::size_t>(height));
        EXPECT_EQ(back.channels, static_cast<std::size_t>(channels));
        EXPECT_EQ(back.pixels, pixels);
      }
    }
  }
}

TEST_F(Png, smooth_images_are_compressed) {
  std::vector<std::uint8_t> pixels(256 * 256);
  for (std::size_t k = 0; k < pixels.size(); ++k) pixels[k] = static_cast<std::uint8_t>(k / 256);
  EXPECT_LT(encode_png({256, 256, 1, pixels}).size(), pixels.size() / 20);
}

TEST_F(Png, wrong_extents_are_refused) {
  const std::vector<std::uint8_t> pixels(12);
  const auto refused = [](const ImageView& image, const std::string& why) {
    try {
      encode_png(image);
      ADD_FAILURE() << "nothing was thrown; wanted: " << why;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  refused({2, 2, 4, pixels}, "got 12 bytes");
  refused({0, 2, 1, {}}, "at least one pixel");
  refused({-2, -6, 1, pixels}, "at least one pixel");
  refused({2, 1, 6, pixels}, "1 to 4 channels");
  const std::vector<std::uint8_t> wide(2'000'000);
  refused({2'000'000, 1, 1, wide}, "libpng cannot encode an image of 2000000 x 1");
}

}  // namespace
}  // namespace trireme
