// Random changes of images: pure functions of image and key, with the limits they promise; texts that name them.
#include "datasets/image_transforms.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

const RowType colours{DType::u8, Shape{24, 20, 3}};

Bytes picture(const RowType& type = colours) {
  Bytes out(type.bytes());
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = static_cast<std::uint8_t>(40 + k % 3 * 30 + k / 3 % 17 * 5);
  return out;
}

Bytes run(const TransformList& list, const Bytes& in, std::uint64_t position, const RowType& type = colours) {
  TransformChain chain(list, type);
  Bytes out(chain.output().bytes());
  chain.apply(std::as_bytes(std::span(in)), reinterpret_cast<std::byte*>(out.data()), {9, position, 0});
  return out;
}

TEST(ImageTransforms, DependOnTheKeyAlone) {
  const Bytes in = picture();
  for (const char* text : {"crop", "rotate", "jitter", "erase=1", "cutout=6", "crop,flip,jitter=0.5,rotate=40,erase"}) {
    std::set<Bytes> results;
    for (std::uint64_t position = 0; position < 20; ++position) {
      const Bytes out = run(image_changes(text).list, in, position);
      EXPECT_EQ(out, run(image_changes(text).list, in, position)) << text;
      results.insert(out);
    }
    EXPECT_GT(results.size(), 15U) << text;
  }
}

TEST(ImageTransforms, StrengthNoneChangesNothing) {
  const Bytes in = picture();
  for (const char* text : {"none", "", "crop=1", "rotate=0", "jitter=0", "erase=0", "shift=0", "flip=0"}) {
    if (std::string(text) == "crop=1") continue;  // the ratio of sides still changes
    EXPECT_EQ(run(image_changes(text).list, in, 3), in) << text;
  }
}

TEST(ImageTransforms, OneColourStaysOneColour) {
  const Bytes plain(colours.bytes(), 77);
  for (std::uint64_t position = 0; position < 30; ++position)
    EXPECT_EQ(run(image_changes("crop").list, plain, position), plain);
  // Turned by 90 degrees and less a square keeps its middle.
  const Bytes turned = run(image_changes("rotate=90").list, plain, 4);
  EXPECT_EQ(turned[static_cast<std::size_t>((12 * 20 + 10) * 3)], 77);
}

TEST(ImageTransforms, BlackPartsHaveTheirSizes) {
  const Bytes plain(colours.bytes(), 200);
  int erased = 0;
  for (std::uint64_t position = 0; position < 400; ++position) {
    const Bytes out = run(image_changes("erase=0.5").list, plain, position);
    const auto black = static_cast<double>(std::ranges::count(out, 0)) / static_cast<double>(out.size());
    if (black == 0) continue;
    ++erased;
    EXPECT_GT(black, 0.01);
    EXPECT_LT(black, 0.36);
  }
  EXPECT_NEAR(erased, 200, 50);
  for (std::uint64_t position = 0; position < 200; ++position) {
    const auto black = std::ranges::count(run(image_changes("cutout=6").list, plain, position), 0) / 3;
    EXPECT_TRUE(black >= 9 && black <= 36) << black;
  }
}

TEST(ImageTransforms, JitterStaysInItsLimits) {
  const Bytes plain(colours.bytes(), 100);
  for (std::uint64_t position = 0; position < 100; ++position) {
    const Bytes out = run(image_changes("jitter=0.3").list, plain, position);
    EXPECT_TRUE(std::ranges::all_of(out, [&](auto pixel) { return pixel == out[0]; })) << "a plain image stays plain";
    EXPECT_TRUE(out[0] >= 69 && out[0] <= 131) << int{out[0]};
  }
  const RowType grey{DType::u8, Shape{8, 8, 1}};
  EXPECT_EQ(run(image_changes("jitter").list, picture(grey), 1, grey).size(), 64U);
}

TEST(ImageTransforms, MistakesAreNamed) {
  const auto refused = [](const char* text, const char* why) {
    expect_error(ExitCode::usage, {why}, [&] { image_changes(text); });
  };
  refused("flop", "there is no change 'flop'");
  refused("flip,", "there is no change ''");
  refused("flip=much", "flip=NUMBER");
  refused("cutout", "cutout=NUMBER");
  refused("cutout=2.5", "number of pixels");
  refused("crop=0", "least area");
  refused("rotate=1e9", "degrees");
  refused("erase=2", "probability");
  refused("jitter=2", "0 to 1");
  refused("cutout=0", "at least 1");
  refused("mixup=0", "above 0");
  refused("cutmix=2.5", "at most 2");
  refused("mixup,flip", "'flip' of images stands behind mixup");
  EXPECT_THROW(TransformChain(image_changes("jitter").list, {DType::f32, Shape{4, 4, 3}}), Error);
  EXPECT_THROW(TransformChain(image_changes("rotate").list, {DType::u8, Shape{16}}), Error);
}

}  // namespace
}  // namespace trireme
