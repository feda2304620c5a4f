// Images that stay PNG and JPEG files: a part that is decoded is that part of the whole, a data set of files gives what
// one of pixels gives, on any parts and threads, and bytes that are no image are found and named.
#include "datasets/encoded_images.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "datasets/image_transforms.hpp"
#include "datasets/import_images.hpp"
#include "datasets/loader.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/jpeg_bytes.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

bool readable() { return png_available() && jpeg_available(); }

/// Waves of some colours and sizes with a little noise.
DecodedImage photo(std::int64_t width, std::int64_t height, std::int64_t channels, std::mt19937_64& random) {
  DecodedImage out{.width = width, .height = height, .channels = channels};
  const double a = 0.02 + 0.1 * static_cast<double>(random() % 8), b = 0.03 * static_cast<double>(random() % 8);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto at = [&](double f, std::int64_t n) { return std::sin(f * static_cast<double>(n + 20 * c)); };
        out.pixels.push_back(
            static_cast<std::uint8_t>(128 + 60 * at(a, x) + 50 * at(b, y) + static_cast<double>(random() % 12)));
      }
  return out;
}

DecodedPart part_of(const std::string& bytes, std::int64_t channels, const PartChoice& choice, ImageExtent wanted) {
  DecodedPart out;
  decode_part(bytes, {channels, wanted, [&](ImageExtent) { return choice; }}, "photo", out);
  return out;
}

TEST(DecodePart, IsThatPartOfTheWhole) {
  if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 150; ++round) {
    const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n)); };
    const std::int64_t width = 1 + below(120), height = 1 + below(90), channels = round % 3 == 0 ? 1 : 3;
    const DecodedImage image = photo(width, height, channels, random);
    const std::string bytes =
        round % 5 == 0 ? encode_png(image.view()) : jpeg_bytes(image.view(), {.colour_step = 1 + round % 2});
    const DecodedImage whole = decode_image(bytes, channels, "photo");
    const std::int64_t left = below(width), top = below(height), w = 1 + below(width - left),
                       h = 1 + below(height - top);
    const ImageWindow window{static_cast<double>(left), static_cast<double>(top), static_cast<double>(w),
                             static_cast<double>(h)};
    const DecodedPart part = part_of(bytes, channels, {window}, {w, h});
    SCOPED_TRACE(fmt::format("{} x {} of {}, {} x {} from {}, {}", width, height, channels, w, h, left, top));
    ASSERT_EQ(part.bounds.right - part.bounds.left, w);
    ASSERT_EQ(part.bounds.bottom - part.bounds.top, h);
    ASSERT_EQ(part.window.left, static_cast<double>(part.bounds.left));
    ASSERT_EQ(part.window.top, static_cast<double>(part.bounds.top));
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t k = 0; k < w * channels; ++k)
        ASSERT_EQ(
            part.image.pixels[to_size(((part.bounds.top + y) * part.image.width + part.bounds.left) * channels + k)],
            whole.pixels[to_size(((top + y) * width + left) * channels + k)])
            << y << ", " << k;
  }
}

TEST(DecodePart, IsMadeSmallerWhereThatIsEnough) {
  if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  std::mt19937_64 random(7);
  // Soft, as a sharp one has no one small form.
  const std::vector<std::uint8_t> soft = resize_image(photo(20, 15, 3, random).view(), {.width = 259, .height = 194});
  const std::string bytes = jpeg_bytes({259, 194, 3, soft}, {.colour_step = 2});
  const DecodedImage image = decode_image(bytes, 3, "photo");
  const PartChoice all{.window = {0, 0, 259, 194}, .edges = PartChoice::Edges::image};
  struct Case {
    ImageExtent wanted;
    std::int64_t divisor;
  };
  for (const auto& [wanted, divisor] : {Case{{32, 24}, 8}, Case{{33, 24}, 4}, Case{{64, 48}, 4}, Case{{65, 48}, 2},
                                        Case{{100, 90}, 2}, Case{{100, 98}, 1}, Case{{300, 10}, 1}}) {
    SCOPED_TRACE(fmt::format("{} x {}", wanted.width, wanted.height));
    const DecodedPart part = part_of(bytes, 3, all, wanted);
    EXPECT_EQ(part.image.width, ceil_div(259, divisor));
    EXPECT_DOUBLE_EQ(part.window.width, 259.0 / static_cast<double>(divisor));
    std::vector<std::uint8_t> out(to_size(wanted.width * wanted.height * 3)), slow(out.size());
    resize_window({part.image.view(), part.window, part.bounds}, wanted, out.data());
    resize_window({image.view(), all.window, {0, 0, 259, 194}}, wanted, slow.data());
    double difference = 0;
    for (std::size_t k = 0; k < out.size(); ++k) difference += std::abs(out[k] - slow[k]);
    EXPECT_LT(difference / static_cast<double>(out.size()), 4);
  }
}

TEST(DecodePart, IsThatPartOfASmallerWhole) {
  if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 90; ++round) {
    const std::int64_t divisor = 2 << round % 3, width = 60 + below(150), height = 60 + below(90);
    const std::int64_t channels = round % 4 == 0 ? 1 : 3;
    const DecodedImage image = photo(width, height, channels, random);
    const std::string bytes = jpeg_bytes(image.view(), {.colour_step = 1 + round % 2});
    const auto made_to = [&](std::int64_t w, std::int64_t h) { return ImageExtent{w / divisor, h / divisor}; };
    const DecodedPart whole = part_of(
        bytes, channels, {{0, 0, static_cast<double>(width), static_cast<double>(height)}}, made_to(width, height));
    ASSERT_EQ(whole.image.width, ceil_div(width, divisor));
    const std::int64_t w = divisor + below(width - divisor), h = divisor + below(height - divisor);
    const auto left = static_cast<double>(below(width - w + 1)), top = static_cast<double>(below(height - h + 1));
    const auto scale = static_cast<double>(divisor);
    const DecodedPart part =
        part_of(bytes, channels, {{left, top, static_cast<double>(w), static_cast<double>(h)}}, made_to(w, h));
    SCOPED_TRACE(
        fmt::format("{} x {} of {}, {} x {} from {}, {} at 1/{}", width, height, channels, w, h, left, top, divisor));
    ASSERT_EQ(part.window.width, static_cast<double>(w) / scale);
    ASSERT_EQ(part.window.height, static_cast<double>(h) / scale);
    // Where the part begins in the whole.
    const double x = left / scale - part.window.left, y = top / scale - part.window.top;
    ASSERT_TRUE(x == std::floor(x) && y == std::floor(y)) << x << ", " << y;
    const auto x0 = static_cast<std::int64_t>(x), y0 = static_cast<std::int64_t>(y);
    const auto& [first, upper, behind, lower] = part.bounds;
    ASSERT_TRUE(static_cast<double>(first) <= part.window.left && static_cast<double>(upper) <= part.window.top);
    ASSERT_TRUE(static_cast<double>(behind) >= part.window.left + part.window.width &&
                static_cast<double>(lower) >= part.window.top + part.window.height);
    ASSERT_TRUE(first + x0 >= 0 && upper + y0 >= 0 && behind <= part.image.width && lower <= part.image.height &&
                behind + x0 <= whole.image.width && lower + y0 <= whole.image.height);
    for (std::int64_t v = upper; v < lower; ++v)
      for (std::int64_t k = first * channels; k < behind * channels; ++k)
        ASSERT_EQ(part.image.pixels[to_size(v * part.image.width * channels + k)],
                  whole.image.pixels[to_size((v + y0) * whole.image.width * channels + k + x0 * channels)])
            << v << ", " << k;
  }
}

TEST(DecodePart, TooManyPixelsAreRefused) {
  if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  std::mt19937_64 random(3);
  const DecodedImage image = photo(8, 8, 3, random);
  std::string jpeg = jpeg_bytes(image.view());
  const std::size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  for (const std::size_t side : {5U, 7U}) jpeg.replace(frame + side, 2, "\x40\x01");  // height, width
  expect_error(ExitCode::corrupt_input, {"photo claims 16385 x 16385 pixels", "268435456"},
               [&] { decode_image(jpeg, 3, "photo"); });
  // The header of a PNG image that says so, too: its check sum is right.
  std::string png = encode_png(image.view());
  for (const std::size_t side : {16U, 20U}) png.replace(side, 4, std::string("\0\0\x40\1", 4));
  std::uint32_t sum = ~0U;
  for (std::size_t at = 12; at < 29; ++at) {
    sum ^= static_cast<unsigned char>(png[at]);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ ((sum & 1) != 0 ? 0xedb88320U : 0);
  }
  for (std::size_t k = 0; k < 4; ++k) png[29 + k] = static_cast<char>(~sum >> (24 - 8 * k));
  expect_error(ExitCode::corrupt_input, {"photo claims 16385 x 16385 pixels"}, [&] { decode_image(png, 3, "photo"); });
}

/// An image of 16 x 16 pixels of one colour, in inks.
DecodedImage inks(std::initializer_list<unsigned char> pixel) {
  DecodedImage image{.width = 16, .height = 16, .channels = 4};
  for (int k = 0; k < 256; ++k) image.pixels.insert(image.pixels.end(), pixel.begin(), pixel.end());
  return image;
}

/// Stored as Adobe's programs do it: 255 is no ink. Numbers worked out by hand, and as Pillow reads such files.
TEST(DecodePart, InksAreTheLightTheyLeave) {
  if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  struct Known {
    DecodedImage image;
    std::vector<int> light;
    int grey;
  };
  for (const Known& known :
       {Known{inks({255, 255, 255, 255}), {255, 255, 255}, 255}, Known{inks({0, 255, 255, 255}), {0, 255, 255}, 179},
        Known{inks({255, 128, 0, 200}), {200, 100, 0}, 118}, Known{inks({90, 90, 90, 0}), {0, 0, 0}, 0}}) {
    const std::string bytes = jpeg_bytes(known.image.view(), {.quality = 100});
    const DecodedImage colours = decode_image(bytes, 3, "inks"), grey = decode_image(bytes, 1, "inks");
    ASSERT_EQ(colours.pixels.size(), 16u * 16 * 3);
    ASSERT_EQ(grey.pixels.size(), 16u * 16);
    for (std::size_t k = 0; k < colours.pixels.size(); ++k) ASSERT_NEAR(colours.pixels[k], known.light[k % 3], 2) << k;
    for (const int value : grey.pixels) ASSERT_NEAR(value, known.grey, 2);
  }
}

/// Light and colours of three inks, and black (YCCK), a window of it, at a half of its size.
TEST(DecodePart, InksComeInWindowsAndOtherForms) {
  if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
  const std::string bytes = jpeg_bytes(inks({255, 128, 0, 200}).view(), {.quality = 100, .inks_as_light = true});
  DecodedPart part;
  decode_part(bytes,
              {.channels = 3,
               .wanted = {4, 4},
               .choose =
                   [](ImageExtent) {
                     return PartChoice{.window = {4, 4, 8, 8}};
                   }},
              "inks", part);
  ASSERT_FALSE(part.image.pixels.empty());
  const int light[] = {200, 100, 0};
  for (std::size_t k = 0; k < part.image.pixels.size(); ++k) ASSERT_NEAR(part.image.pixels[k], light[k % 3], 3) << k;
}

class EncodedImages : public testing::Test {
 protected:
  void SetUp() override {
    if (!readable()) GTEST_SKIP() << "skipped: built without libpng or libjpeg-turbo";
    for (int k = 0; k < 22; ++k) {
      const DecodedImage image = photo(20 + k, 31 - k, 3, random_);
      const bool png = k % 2 == 0;
      put(fmt::format("in/{}/{:02}.{}", k % 3, k, png ? "png" : "jpg"),
          png ? encode_png(image.view()) : jpeg_bytes(image.view(), {.colour_step = 2}));
    }
  }
  void put(const std::string& path, const std::string& bytes) const {
    fs::create_directories(fs::path(dir_ / path).parent_path());
    write_bytes(dir_ / path, Bytes(bytes.begin(), bytes.end()));
  }
  ImagesImport job(ImagesImport::Keep keep) const {
    return {.folder = dir_ / "in",
            .out = dir_ / (keep == ImagesImport::Keep::files ? "files" : "pixels"),
            .height = 12,
            .width = 16,
            .keep = keep,
            .threads = 2,
            .shard_rows = 9};
  }
  Samples made(ImagesImport::Keep keep) const {
    import_images(job(keep));
    return Dataset::open(job(keep).out).split("train");
  }
  std::mt19937_64 random_{3};
  TempDir dir_;
};

/// The images and labels of some batches of all parts, in order.
std::pair<std::vector<float>, std::vector<std::int32_t>> read(const Samples& samples, LoaderOptions options,
                                                              const std::string& changes) {
  ImageChanges made = image_changes(changes);
  made.list.push_back(normalise({}));
  options.transforms = {{"image", made.list}};
  options.mixing = made.mixing;
  options.batch = 7;
  options.seed = 5;
  std::vector<std::unique_ptr<Loader>> loaders;
  for (options.part = 0; options.part < options.parts; ++options.part)
    loaders.push_back(std::make_unique<Loader>(samples, options));
  std::pair<std::vector<float>, std::vector<std::int32_t>> out;
  for (int k = 0; k < 8; ++k)
    for (const auto& loader : loaders) {
      if (loader->finished()) continue;
      const Batch batch = loader->next();
      for (const float value : batch.field("image").to_vector<float>()) out.first.push_back(value);
      for (const auto label : batch.field("label").to_vector<std::int32_t>()) out.second.push_back(label);
    }
  return out;
}

TEST_F(EncodedImages, GiveWhatPixelsGive) {
  const Samples files = made(ImagesImport::Keep::files), pixels = made(ImagesImport::Keep::pixels);
  EXPECT_TRUE(verify_dataset(Dataset::open(dir_ / "files")).problems.empty());
  EXPECT_EQ(files->count(), 22);
  EXPECT_EQ(read(files, {.pass = Pass::evaluate, .threads = 0}, ""),
            read(pixels, {.pass = Pass::evaluate, .threads = 0}, ""));
  EXPECT_EQ(read(files, {.threads = 0}, "shift=3,flip,jitter"), read(pixels, {.threads = 0}, "shift=3,flip,jitter"))
      << "changes draw the same numbers";
}

TEST_F(EncodedImages, TheSameForAnyPartsAndThreads) {
  const Samples files = made(ImagesImport::Keep::files);
  const auto want = read(files, {.threads = 0}, "crop=0.2,flip");
  EXPECT_EQ(want.first.size(), 8U * 7 * 12 * 16 * 3);
  EXPECT_EQ(read(files, {.threads = 3}, "crop=0.2,flip"), want);
  EXPECT_EQ(read(files, {.parts = 3, .threads = 1}, "crop=0.2,flip"), want);
}

TEST_F(EncodedImages, ACropIsCutOutOfTheStoredImage) {
  // One pixel in ten is seen at the stored size, which a crop of the small form could not show.
  std::mt19937_64 random(1);
  DecodedImage image = photo(160, 120, 1, random);
  for (std::size_t k = 0; k < image.pixels.size(); ++k) image.pixels[k] = k % 10 == 0 ? 255 : 0;
  fs::remove_all(dir_ / "in");
  for (const char* name : {"in/a/x.png", "in/b/x.png"}) put(name, encode_png(image.view()));
  ImagesImport import = job(ImagesImport::Keep::files);
  import.channels = 1;
  import_images(import);
  const auto [cropped, labels] = read(Dataset::open(dir_ / "files").split("train"), {.threads = 0}, "crop=0.01");
  const auto [whole, same] = read(Dataset::open(dir_ / "files").split("train"), {.threads = 0}, "");
  EXPECT_GT(*std::ranges::max_element(cropped), 0.3) << "stripes of a small window";
  EXPECT_LT(*std::ranges::max_element(whole), 0.2) << "stripes become grey where all is scaled";
}

TEST_F(EncodedImages, ACropDrawsWhatItDrawsOfPixels) {
  // Files of the row's size: nothing is scaled, so that other random numbers are all that could show.
  fs::remove_all(dir_ / "in");
  for (int k = 0; k < 22; ++k)
    put(fmt::format("in/{}/{:02}.png", k % 3, k), encode_png(photo(16, 12, 3, random_).view()));
  const Samples files = made(ImagesImport::Keep::files), pixels = made(ImagesImport::Keep::pixels);
  for (const char* changes : {"crop=0.2", "crop=0.2,flip", "crop=0.2,jitter,flip"})
    EXPECT_EQ(read(files, {.threads = 0}, changes), read(pixels, {.threads = 0}, changes)) << changes;
}

TEST_F(EncodedImages, BytesThatAreNoImageAreNamed) {
  DatasetWriter writer(
      {.folder = dir_ / "bad",
       .fields = {{"image", DType::u8, {12, 16, 3}, FieldSpec::Layout::encoded}, {"label", DType::i32, {}}},
       .class_names = {"a", "b"}});
  writer.begin_split("train", 3);
  const std::string good = encode_png(photo(20, 20, 3, random_).view());
  const std::string cut = jpeg_bytes(photo(60, 60, 3, random_).view()).substr(0, 900);
  for (const std::string& bytes : {good, cut, good}) {
    const std::int32_t label = 1;
    const auto length = std::ssize(bytes);
    const FieldBlock blocks[] = {{bytes.data(), {&length, 1}}, {&label}};
    writer.append(1, blocks);
  }
  writer.finish({{"importer", "test"}, {"date", utc_now()}});
  const auto problems = verify_dataset(Dataset::open(dir_ / "bad")).problems;
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_NE(problems[0].what.find("image of its sample 1 is no whole JPEG"), std::string::npos) << problems[0].what;
  const Samples samples = Dataset::open(dir_ / "bad").split("train");
  expect_error(ExitCode::corrupt_input, {"sample 1 of split 'train'", "no whole JPEG", "verify"},
               [&] { read(samples, {.pass = Pass::evaluate, .threads = 1}, ""); });
  // The index itself.
  expect_error(ExitCode::failure, {"encoded images is i32"}, [&] {
    check_fields({{"image", DType::i32, {12, 16, 3}, FieldSpec::Layout::encoded}});
  });
  expect_error(ExitCode::failure, {"(12, 16, 2)"}, [&] {
    check_fields({{"image", DType::u8, {12, 16, 2}, FieldSpec::Layout::encoded}});
  });
}

TEST_F(EncodedImages, TheImportRefusesBadFiles) {
  put("in/1/bad.jpg", jpeg_bytes(photo(64, 64, 3, random_).view()).substr(0, 700));
  ImagesImport import = job(ImagesImport::Keep::files);
  expect_error(ExitCode::corrupt_input, {"bad.jpg", "no whole JPEG"}, [&] { import_images(import); });
  EXPECT_FALSE(fs::exists(dir_ / "files"));
  EXPECT_FALSE(fs::exists(dir_ / ".files.partial"));
  import.on_error = OnError::skip;
  EXPECT_EQ(import_images(import).splits[0].count, 22);
  import.fit = Fit::stretch;
  import.existing = Existing::replace;
  expect_error(ExitCode::usage, {"not stretched", "--fit crop"}, [&] { import_images(import); });
}

TEST_F(EncodedImages, AreMixedAndDividedAsPixelsAre) {
  const Samples files = made(ImagesImport::Keep::files), pixels = made(ImagesImport::Keep::pixels);
  const Samples both = mix({{files, 1}, {TrainValidation(files, 0.5, 1).train, 2}});
  const Samples same = mix({{pixels, 1}, {TrainValidation(pixels, 0.5, 1).train, 2}});
  EXPECT_EQ(read(both, {.threads = 0}, "flip"), read(same, {.threads = 0}, "flip"));
  expect_error(ExitCode::usage, {"image is encoded u8 (12, 16, 3) and u8 (12, 16, 3)"}, [&] {
    mix({{files, 1}, {pixels, 1}});
  });
}

TEST_F(EncodedImages, AreTheSameBesideDeflatedFields) {
  for (const auto keep : {ImagesImport::Keep::files, ImagesImport::Keep::pixels}) {
    const Samples plain = made(keep);
    ImagesImport import = job(keep);
    import.out = dir_ / "packed";
    import.compress = 6;
    import.existing = Existing::replace;
    import_images(import);
    EXPECT_TRUE(verify_dataset(Dataset::open(import.out)).problems.empty());
    const Samples packed = Dataset::open(import.out).split("train");
    EXPECT_TRUE(packed->makes_rows());
    EXPECT_EQ(read(packed, {.threads = 2}, "flip,mixup"), read(plain, {.threads = 0}, "flip,mixup"));
    EXPECT_EQ(read(mix({{packed, 1}, {plain, 1}}), {.threads = 0}, "flip"),
              read(mix({{plain, 1}, {plain, 1}}), {.threads = 0}, "flip"));
  }
}

}  // namespace
}  // namespace trireme
