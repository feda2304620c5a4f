#include "core/io/png.hpp"

#ifdef TRIREME_HAS_PNG
#include <png.h>
#endif

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

void check(const ImageView& image) {
  require(image.width > 0 && image.height > 0 && image.channels >= 1 && image.channels <= 4,
          "a PNG image of {} x {} pixels with {} channels; wanted at least one pixel and 1 to 4 channels", image.width,
          image.height, image.channels);
  const std::int64_t wanted = checked_mul(checked_mul(image.width, image.height), image.channels);
  require(image.pixels.size() == to_size(wanted), "a PNG image of {} x {} pixels with {} channels got {} bytes",
          image.width, image.height, image.channels, image.pixels.size());
}

}  // namespace

#ifdef TRIREME_HAS_PNG

bool png_available() { return true; }

std::string encode_png(const ImageView& image) {
  check(image);
  constexpr png_uint_32 formats[] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = narrow<png_uint_32>(image.width);
  png.height = narrow<png_uint_32>(image.height);
  png.format = formats[image.channels - 1];
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string out(bytes, '\0');
  if (png_image_write_to_memory(&png, out.data(), &bytes, 0, image.pixels.data(), 0, nullptr) == 0) {
    fail(ExitCode::failure, "libpng cannot encode an image of {} x {} pixels: {}", image.width, image.height,
         static_cast<const char*>(png.message));
  }
  out.resize(bytes);
  return out;
}

#else

bool png_available() { return false; }

std::string encode_png(const ImageView& image) {
  check(image);
  fail(ExitCode::failure, "cannot encode a PNG image: this build has no libpng; install libpng-dev and build again");
}

#endif

}  // namespace trireme
