// PNG and JPEG files, whole and in part. The input is a number that says which part of the image is wanted and what it
// is made to, then the file. What is taken has the pixels it claims, and a file that is taken whole is taken in part.
#include "core/io/image_decode.hpp"
#include "datasets/resize_image.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/jpeg_bytes.hpp"

namespace trireme {
namespace {

/// A window inside the image, from the digits of `number`.
PartChoice choice_of(std::uint64_t number, const ImageExtent& image) {
  const auto within = [&](std::int64_t size) {
    const auto digit = static_cast<std::int64_t>(number % 64);
    number /= 64;
    return size * digit / 64;
  };
  const std::int64_t left = within(image.width), top = within(image.height);
  return {{static_cast<double>(left), static_cast<double>(top), static_cast<double>(1 + within(image.width - left)),
           static_cast<double>(1 + within(image.height - top))}};
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  std::vector<std::uint8_t> pixels;
  for (int k = 0; k < 40 * 24 * 3; ++k) pixels.push_back(static_cast<std::uint8_t>(k * 7 + k / 120 * 5));
  const ImageView colours{40, 24, 3, pixels}, grey{40, 24, 1, std::span(pixels).first(40 * 24)};
  std::vector<std::string> out;
  for (const std::string& file : {png_available() ? encode_png(colours) : "", png_available() ? encode_png(grey) : "",
                                  jpeg_bytes(colours), jpeg_bytes(grey), jpeg_bytes(colours, {.colour_step = 2})})
    if (!file.empty()) out.push_back("\x05\x12\x31\x01" + file);
  return out;
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const std::uint64_t number = input.number(4);
  const std::int64_t channels = number % 2 == 0 ? 1 : 3;
  const std::string_view file = input.rest();
  DecodedPart part;
  const ImageExtent wanted{static_cast<std::int64_t>(1 + number % 37), static_cast<std::int64_t>(1 + number / 37 % 29)};
  bool small = true;
  const auto choose = [&](const ImageExtent& image) {
    small = image.width * image.height <= 1 << 20;
    if (!small) fail(ExitCode::usage, "large images take too long here");
    return choice_of(number / 2, image);
  };
  const bool in_part = fuzz::takes([&] { decode_part(file, {channels, wanted, choose}, "part", part); });
  if (!small) return 0;
  if (in_part) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(wanted.width * wanted.height * channels));
    resize_window({part.image.view(), part.window, part.bounds}, wanted, out.data());
    fuzz::demand(std::ssize(part.image.pixels) == part.image.width * part.image.height * channels, "all pixels");
  }
  DecodedImage whole;
  if (!fuzz::takes([&] { whole = decode_image(file, channels, "whole"); })) return 0;
  fuzz::demand(std::ssize(whole.pixels) == whole.width * whole.height * channels, "all pixels of the whole");
  fuzz::demand(in_part, "a part of what is taken whole");
  return 0;
}
