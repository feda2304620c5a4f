#include "core/io/image_decode.hpp"

#ifdef TRIREME_HAS_PNG
#include <png.h>
#endif
#ifdef TRIREME_HAS_JPEG
#include <turbojpeg.h>
#endif

#include <memory>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

constexpr std::int64_t most_pixels = std::int64_t{1} << 28;

[[maybe_unused]] DecodedImage place_for(std::int64_t width, std::int64_t height, std::int64_t channels,
                                        const std::string& name) {
  if (width < 1 || height < 1 || width > most_pixels / height)
    fail(ExitCode::corrupt_input, "{} claims {} x {} pixels; wanted at least one and at most {}", name, width, height,
         most_pixels);
  return {.width = width,
          .height = height,
          .channels = channels,
          .pixels = std::vector<std::uint8_t>(to_size(width * height * channels))};
}

#ifdef TRIREME_HAS_PNG

DecodedImage decode_png(std::string_view bytes, std::int64_t channels, const std::string& name) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&png, png_image_free);
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0)
    fail(ExitCode::corrupt_input, "{} is no whole PNG image: {}", name, static_cast<const char*>(png.message));
  // Read with alpha, which libpng would otherwise mix with a background.
  const bool alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  const std::int64_t stored = channels + (alpha ? 1 : 0);
  png.format = (channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0u);
  DecodedImage out = place_for(png.width, png.height, stored, name);
  if (png_image_finish_read(&png, nullptr, out.pixels.data(), 0, nullptr) == 0)
    fail(ExitCode::corrupt_input, "{} is no whole PNG image: {}", name, static_cast<const char*>(png.message));
  if (!alpha) return out;
  const std::size_t count = to_size(out.width * out.height), kept = to_size(channels);
  for (std::size_t p = 0; p < count; ++p)
    for (std::size_t c = 0; c < kept; ++c) out.pixels[p * kept + c] = out.pixels[p * (kept + 1) + c];
  out.pixels.resize(count * kept);
  out.channels = channels;
  return out;
}

#else

DecodedImage decode_png(std::string_view, std::int64_t, const std::string& name) {
  fail(ExitCode::usage, "cannot read {}: this build has no libpng; install libpng-dev and build again", name);
}

#endif

#ifdef TRIREME_HAS_JPEG

DecodedImage decode_jpeg(std::string_view bytes, std::int64_t channels, const std::string& name) {
  const std::unique_ptr<void, int (*)(tjhandle)> jpeg(tjInitDecompress(), tjDestroy);
  require(jpeg != nullptr, "libjpeg-turbo has no memory to begin with {}", name);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto size = static_cast<unsigned long>(bytes.size());
  const auto broken = [&] {
    fail(ExitCode::corrupt_input, "{} is no whole JPEG image: {}", name, tjGetErrorStr2(jpeg.get()));
  };
  int width = 0, height = 0, sampling = 0, colours = 0;
  if (tjDecompressHeader3(jpeg.get(), data, size, &width, &height, &sampling, &colours) != 0) broken();
  if (colours == TJCS_CMYK || colours == TJCS_YCCK)
    fail(ExitCode::corrupt_input, "{} has the four inks of printing (CMYK); store it as RGB", name);
  DecodedImage out = place_for(width, height, channels, name);
  const int format = channels == 3 ? TJPF_RGB : TJPF_GRAY;
  // A warning tells of damage too (a file that ends early): the grey rest would be taken for the image.
  if (tjDecompress2(jpeg.get(), data, size, out.pixels.data(), width, 0, height, format, TJFLAG_ACCURATEDCT) != 0)
    broken();
  return out;
}

#else

DecodedImage decode_jpeg(std::string_view, std::int64_t, const std::string& name) {
  fail(ExitCode::usage, "cannot read {}: this build has no libjpeg-turbo; install libturbojpeg0-dev and build again",
       name);
}

#endif

}  // namespace

bool jpeg_available() {
#ifdef TRIREME_HAS_JPEG
  return true;
#else
  return false;
#endif
}

DecodedImage decode_image(std::string_view bytes, std::int64_t channels, const std::string& name) {
  require(channels == 1 || channels == 3, "an image of {} channels was asked for; wanted 1 or 3", channels);
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes, channels, name);
  if (bytes.starts_with("\xff\xd8\xff")) return decode_jpeg(bytes, channels, name);
  fail(ExitCode::corrupt_input, "{} is neither a PNG nor a JPEG image, whatever its name says", name);
}

}  // namespace trireme
