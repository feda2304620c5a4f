#include "core/io/image_decode.hpp"

#ifdef TRIREME_HAS_PNG
#include <png.h>
#endif

#include <cmath>
#include <memory>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/io/jpeg_decode.hpp"

namespace trireme {
namespace {

#ifdef TRIREME_HAS_PNG

void decode_png(std::string_view bytes, std::int64_t channels, const std::string& name, DecodedImage& out) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&png, png_image_free);
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0)
    fail(ExitCode::corrupt_input, "{} is no whole PNG image: {}", name, static_cast<const char*>(png.message));
  // Read with alpha, which libpng would otherwise mix with a background.
  const bool alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  png.format = (channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0u);
  out.width = png.width;
  out.height = png.height;
  out.channels = channels;
  if (out.width < 1 || out.height < 1 || out.width > detail::most_image_pixels / out.height)
    fail(ExitCode::corrupt_input, "{} claims {} x {} pixels; wanted at least one and at most {}", name, out.width,
         out.height, detail::most_image_pixels);
  const std::size_t count = to_size(out.width * out.height), kept = to_size(channels);
  out.pixels.resize(count * (kept + (alpha ? 1 : 0)));
  if (png_image_finish_read(&png, nullptr, out.pixels.data(), 0, nullptr) == 0)
    fail(ExitCode::corrupt_input, "{} is no whole PNG image: {}", name, static_cast<const char*>(png.message));
  if (!alpha) return;
  for (std::size_t p = 0; p < count; ++p)
    for (std::size_t c = 0; c < kept; ++c) out.pixels[p * kept + c] = out.pixels[p * (kept + 1) + c];
  out.pixels.resize(count * kept);
}

#else

void decode_png(std::string_view, std::int64_t, const std::string& name, DecodedImage&) {
  fail(ExitCode::usage, "cannot read {}: this build has no libpng; install libpng-dev and build again", name);
}

#endif

}  // namespace

void decode_part(std::string_view bytes, const PartRequest& request, const std::string& name, DecodedPart& out) {
  require(request.channels == 1 || request.channels == 3, "an image of {} channels was asked for; wanted 1 or 3",
          request.channels);
  if (bytes.starts_with("\xff\xd8\xff")) return detail::decode_jpeg_part(bytes, request, name, out);
  if (!bytes.starts_with("\x89PNG"))
    fail(ExitCode::corrupt_input, "{} is neither a PNG nor a JPEG image, whatever its name says", name);
  decode_png(bytes, request.channels, name, out.image);
  const PartChoice choice = request.choose({out.image.width, out.image.height});
  out.window = choice.window;
  out.bounds = {0, 0, out.image.width, out.image.height};
  if (choice.edges == PartChoice::Edges::image) return;
  const auto whole = [](double at, std::int64_t size) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(at), 0, size);
  };
  out.bounds = {whole(std::floor(out.window.left), out.image.width),
                whole(std::floor(out.window.top), out.image.height),
                whole(std::ceil(out.window.left + out.window.width), out.image.width),
                whole(std::ceil(out.window.top + out.window.height), out.image.height)};
}

DecodedImage decode_image(std::string_view bytes, std::int64_t channels, const std::string& name) {
  DecodedPart part;
  const auto whole = [](ImageExtent extent) {
    return PartChoice{.window = {0, 0, static_cast<double>(extent.width), static_cast<double>(extent.height)},
                      .edges = PartChoice::Edges::image};
  };
  // As many pixels as there may be: never made smaller.
  decode_part(bytes,
              {.channels = channels, .wanted = {detail::most_image_pixels, detail::most_image_pixels}, .choose = whole},
              name, part);
  return std::move(part.image);
}

}  // namespace trireme
