// Folders of images: pixels, classes and order come through, every bad file is named, and damaged bytes end in an image
// or in an Error.
#include "datasets/import_images.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "core/io/file.hpp"
#include "core/io/image_decode.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/jpeg_bytes.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

DecodedImage picture(std::int64_t width, std::int64_t height, std::int64_t channels) {
  DecodedImage out{.width = width, .height = height, .channels = channels};
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c)
        out.pixels.push_back(static_cast<std::uint8_t>(100 + 60 * c % 120 + 3 * x + 2 * y));
  return out;
}

std::string png_of(const DecodedImage& image) { return encode_png(image.view()); }

std::string jpeg_of(const DecodedImage& image) { return jpeg_bytes(image.view()); }

class ImportImages : public testing::Test {
 protected:
  void SetUp() override {
    if (!png_available() || !jpeg_available()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  }
  void put(const std::string& path, const std::string& bytes) const {
    fs::create_directories(fs::path(dir_ / path).parent_path());
    write_bytes(dir_ / path, Bytes(bytes.begin(), bytes.end()));
  }
  ImagesImport job() const {
    return {.folder = dir_ / "in", .out = dir_ / "out", .height = 6, .width = 8, .channels = 3, .threads = 3};
  }
  void expect_refused(const std::vector<std::string>& words) const {
    expect_error(ExitCode::corrupt_input, words, [&] { import_images(job()); });
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    EXPECT_FALSE(fs::exists(dir_ / ".out.partial"));
  }
  TempDir dir_;
};

TEST_F(ImportImages, PixelsClassesAndOrderComeThrough) {
  const DecodedImage right = picture(8, 6, 3), grey = picture(8, 6, 1), alpha = picture(8, 6, 4);
  put("in/dog/b.PNG", png_of(right));
  put("in/dog/a/deep.png", png_of(grey));
  put("in/cat/one.jpg", jpeg_of(right));
  put("in/cat/two.png", png_of(alpha));
  put("in/cat/readme.txt", "passed over");
  put("in/.hidden/x.png", "no image");
  put("test/dog/t.jpeg", jpeg_of(picture(16, 12, 3)));
  ImagesImport import = job();
  import.test_folder = dir_ / "test";
  import_images(import);
  const Dataset dataset = Dataset::open(dir_ / "out");
  EXPECT_TRUE(verify_dataset(dataset).problems.empty());
  EXPECT_EQ(dataset.class_names(), (std::vector<std::string>{"cat", "dog"}));
  const auto train = dataset.split("train");
  ASSERT_EQ(train->count(), 4);
  const auto pixel = [&](std::int64_t row, std::size_t k) { return std::to_integer<int>(train->row(0, row)[k]); };
  const auto label = [&](std::int64_t row) { return std::to_integer<int>(train->row(1, row)[0]); };
  for (std::int64_t row = 0; row < 4; ++row) EXPECT_EQ(label(row), row < 2 ? 0 : 1);
  for (std::size_t k = 0; k < 48; ++k) {
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(pixel(0, 3 * k + c), right.pixels[3 * k + c], 6) << "JPEG, " << k;
      EXPECT_EQ(pixel(1, 3 * k + c), alpha.pixels[4 * k + c]) << "alpha is dropped, " << k;
      EXPECT_EQ(pixel(2, 3 * k + c), grey.pixels[k]) << "grey, " << k;
      EXPECT_EQ(pixel(3, 3 * k + c), right.pixels[3 * k + c]) << "PNG, " << k;
    }
  }
  EXPECT_EQ(dataset.split("test")->count(), 1);
}

TEST_F(ImportImages, AnyNumberOfThreadsGivesTheSameDataSet) {
  for (int k = 0; k < 40; ++k) put(fmt::format("in/{}/{}.png", k % 3, k), png_of(picture(5 + k % 7, 9, 3)));
  const auto with = [&](int threads) {
    ImagesImport import = job();
    import.threads = threads;
    import.existing = Existing::replace;
    return import_images(import).splits[0].shards[0].checksum;
  };
  EXPECT_EQ(with(1), with(5));
}

TEST_F(ImportImages, BadFilesAreNamedAndStopTheImport) {
  expect_refused({"/in' is no folder"});
  put("in/cat/good.png", png_of(picture(9, 9, 3)));
  put("in/dog/good.png", png_of(picture(9, 9, 3)));
  const std::string cut = jpeg_of(picture(64, 64, 3));
  put("in/dog/cut.jpg", cut.substr(0, cut.size() / 2));
  expect_refused({"cut.jpg", "no whole JPEG"});
  fs::remove(dir_ / "in/dog/cut.jpg");
  put("in/dog/text.png", "this is no image");
  expect_refused({"text.png", "neither a PNG nor a JPEG"});
  fs::remove(dir_ / "in/dog/text.png");
  fs::create_directory(dir_ / "in/empty");
  expect_refused({"in/empty", "no images", "--on-error skip"});
  fs::remove_all(dir_ / "in/empty");
  fs::remove_all(dir_ / "in/dog");
  expect_refused({"1 folder(s)", "two classes"});
}

TEST_F(ImportImages, BadFilesAreLeftOutWhereThatIsAskedFor) {
  put("in/cat/good.png", png_of(picture(9, 9, 3)));
  put("in/dog/bad.png", png_of(picture(9, 9, 3)).substr(0, 60));
  put("in/dog/good.jpg", jpeg_of(picture(9, 9, 3)));
  fs::create_directory(dir_ / "in/empty");
  ImagesImport import = job();
  import.on_error = OnError::skip;
  import_images(import);
  const Dataset dataset = Dataset::open(dir_ / "out");
  EXPECT_EQ(dataset.split("train")->count(), 2);
  EXPECT_EQ(dataset.class_names(), (std::vector<std::string>{"cat", "dog"}));
}

TEST_F(ImportImages, TheTestHasKnownClassesAndNoSplitIsEmpty) {
  for (const char* name : {"in/cat/a.png", "in/dog/a.png", "test/cow/a.png"}) put(name, png_of(picture(9, 9, 3)));
  ImagesImport import = job();
  import.test_folder = dir_ / "test";
  expect_error(ExitCode::corrupt_input, {"/test has a class 'cow'"}, [&] { import_images(import); });
  fs::remove_all(dir_ / "test/cow");
  put("test/cat/a.png", "this is no image");
  import.on_error = OnError::skip;
  expect_error(ExitCode::corrupt_input, {"no image of the split test"}, [&] { import_images(import); });
  EXPECT_FALSE(fs::exists(dir_ / "out"));
  EXPECT_FALSE(fs::exists(dir_ / ".out.partial"));
}

TEST_F(ImportImages, DamagedBytesEndInAnImageOrAnError) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> whole{png_of(picture(23, 11, 3)), jpeg_of(picture(23, 11, 3)),
                                       png_of(picture(9, 9, 2))};
  int taken = 0;
  for (int k = 0; k < 3000; ++k) {
    std::string bytes = whole[static_cast<std::size_t>(k) % whole.size()];
    for (std::uint64_t n = 1 + random() % 4; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      const DecodedImage image = decode_image(bytes, 3, "damaged");
      EXPECT_EQ(std::ssize(image.pixels), image.width * image.height * 3);
      ++taken;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
    }
  }
  EXPECT_LT(taken, 2000) << "check sums of PNG find what was changed";
}

struct Place {
  std::int64_t x, y, c;
};

/// The definition, pixel by pixel in two dimensions.
double mean_at(const DecodedImage& image, const ResizeTarget& target, const Place& place) {
  const auto [x, y, c] = place;
  double sx = static_cast<double>(image.width) / static_cast<double>(target.width);
  double sy = static_cast<double>(image.height) / static_cast<double>(target.height);
  if (target.fit == Fit::crop) sx = sy = std::min(sx, sy);
  const double left = (static_cast<double>(image.width) - sx * static_cast<double>(target.width)) / 2;
  const double top = (static_cast<double>(image.height) - sy * static_cast<double>(target.height)) / 2;
  const double cx = left + (static_cast<double>(x) + 0.5) * sx, cy = top + (static_cast<double>(y) + 0.5) * sy;
  const double rx = std::max(1.0, sx), ry = std::max(1.0, sy);
  double sum = 0, weights = 0;
  for (std::int64_t v = 0; v < image.height; ++v)
    for (std::int64_t u = 0; u < image.width; ++u) {
      const double weight = std::max(0.0, 1 - std::abs(static_cast<double>(u) + 0.5 - cx) / rx) *
                            std::max(0.0, 1 - std::abs(static_cast<double>(v) + 0.5 - cy) / ry);
      weights += weight;
      sum += weight * image.pixels[static_cast<std::size_t>((v * image.width + u) * image.channels + c)];
    }
  return sum / weights;
}

TEST(ResizeImage, IsTheWeightedMean) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    const auto side = [&] { return static_cast<std::int64_t>(1 + random() % 24); };
    DecodedImage image = picture(side(), side(), random() % 2 == 0 ? 1 : 3);
    for (auto& pixel : image.pixels) pixel = static_cast<std::uint8_t>(random());
    const ResizeTarget target{.width = side(), .height = side(), .fit = random() % 2 == 0 ? Fit::crop : Fit::stretch};
    const auto out = resize_image(image.view(), target);
    ASSERT_EQ(std::ssize(out), target.width * target.height * image.channels);
    for (std::int64_t y = 0; y < target.height; ++y)
      for (std::int64_t x = 0; x < target.width; ++x)
        for (std::int64_t c = 0; c < image.channels; ++c)
          ASSERT_NEAR(out[static_cast<std::size_t>((y * target.width + x) * image.channels + c)],
                      mean_at(image, target, {x, y, c}), 0.51)
              << image.width << " x " << image.height << " to " << target.width << " x " << target.height << " at " << x
              << ", " << y;
  }
}

}  // namespace
}  // namespace trireme
