#include "core/io/jpeg_decode.hpp"

#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <span>
#include <vector>
#ifdef TRIREME_HAS_JPEG
#include <jpeglib.h>
#endif

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {

bool jpeg_available() {
#ifdef TRIREME_HAS_JPEG
  return true;
#else
  return false;
#endif
}

namespace detail {

#ifdef TRIREME_HAS_JPEG

namespace {

/// The library ends a step that fails by a jump.
struct Failure {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr about) {
  auto* const failure = reinterpret_cast<Failure*>(about->err);
  failure->base.format_message(about, failure->text);
  std::longjmp(failure->jump, 1);
}

/// A warning tells of damage too (a file that ends early): the grey rest would be taken for the image.
void note(j_common_ptr about, int level) {
  if (level < 0) leave(about);
}

void say_nothing(j_common_ptr) {}

class JpegReader {
 public:
  explicit JpegReader(const std::string& name) : name_(name) {
    info_.err = jpeg_std_error(&failure_.base);
    failure_.base.error_exit = leave;
    failure_.base.emit_message = note;
    failure_.base.output_message = say_nothing;
    run([](jpeg_decompress_struct* info) { jpeg_create_decompress(info); });
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  /// `step` calls the library and keeps nothing that would have to be destroyed: a jump leaves it.
  template <class Step>
  void run(const Step& step) {
    if (setjmp(failure_.jump) != 0)
      fail(ExitCode::corrupt_input, "{} is no whole JPEG image: {}", name_, static_cast<const char*>(failure_.text));
    step(&info_);
  }
  const jpeg_decompress_struct& info() const { return info_; }

 private:
  const std::string& name_;
  jpeg_decompress_struct info_{};
  Failure failure_{};
};

ImageExtent read_header(JpegReader& reader, std::string_view bytes, const std::string& name) {
  reader.run([&](jpeg_decompress_struct* info) {
    jpeg_mem_src(info, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(info, TRUE);
  });
  const jpeg_decompress_struct& info = reader.info();
  const ImageExtent extent{info.image_width, info.image_height};
  if (extent.width < 1 || extent.height < 1 || extent.width > most_image_pixels / extent.height)
    fail(ExitCode::corrupt_input, "{} claims {} x {} pixels; wanted at least one and at most {}", name, extent.width,
         extent.height, most_image_pixels);
  return extent;
}

/// The four inks of printing, or light and colours of three of them.
bool has_inks(const jpeg_decompress_struct& info) {
  return info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
}

/// Pixels of four numbers, stored as programs do since Adobe's: 255 is no ink. What a colour's ink and black leave of
/// the white paper is its light.
void light_of_inks(std::span<const unsigned char> inks, std::int64_t channels, unsigned char* to) {
  const auto product = [](unsigned a, unsigned b) { return (a * b + 127) / 255; };
  for (; !inks.empty(); inks = inks.subspan(4), to += channels) {
    const unsigned r = product(inks[0], inks[3]), g = product(inks[1], inks[3]), b = product(inks[2], inks[3]);
    if (channels == 1) {
      // The weights of JPEG's own grey (ITU-R BT.601), in 65536ths.
      *to = static_cast<unsigned char>((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
    } else {
      to[0] = static_cast<unsigned char>(r);
      to[1] = static_cast<unsigned char>(g);
      to[2] = static_cast<unsigned char>(b);
    }
  }
}

/// By what the image may be divided so that the window keeps the pixels it will be made to.
unsigned divisor_of(const ImageWindow& window, const ImageExtent& wanted) {
  for (const unsigned divisor : {8u, 4u, 2u})
    if (window.width / divisor >= static_cast<double>(wanted.width) &&
        window.height / divisor >= static_cast<double>(wanted.height))
      return divisor;
  return 1;
}

PixelBounds bounds_of(const PartChoice& choice, const ImageWindow& window, const ImageExtent& image) {
  if (choice.edges == PartChoice::Edges::image) return {0, 0, image.width, image.height};
  const auto first = [](double at, std::int64_t size) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(at)), 0, size - 1);
  };
  const auto last = [](double at, std::int64_t size) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(at)), 1, size);
  };
  return {first(window.left, image.width), first(window.top, image.height),
          last(window.left + window.width, image.width), last(window.top + window.height, image.height)};
}

/// Columns to either side that are decoded besides, as colours are interpolated between neighbours.
constexpr std::int64_t beside = 2;

}  // namespace

void decode_jpeg_part(std::string_view bytes, const PartRequest& request, const std::string& name, DecodedPart& out) {
  JpegReader reader(name);
  const PartChoice choice = request.choose(read_header(reader, bytes, name));
  const unsigned divisor = divisor_of(choice.window, request.wanted);
  reader.run([&](jpeg_decompress_struct* info) {
    info->out_color_space = has_inks(*info) ? JCS_CMYK : request.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    info->scale_num = 1;
    info->scale_denom = divisor;
    info->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(info);
  });
  const double part = 1.0 / divisor;
  out.window = {choice.window.left * part, choice.window.top * part, choice.window.width * part,
                choice.window.height * part};
  const ImageExtent all{reader.info().output_width, reader.info().output_height};
  out.bounds = bounds_of(choice, out.window, all);
  JDIMENSION left = 0;
  const auto top = static_cast<JDIMENSION>(out.bounds.top);
  if (out.bounds.left > 0 || out.bounds.right < all.width) {
    left = static_cast<JDIMENSION>(std::max<std::int64_t>(0, out.bounds.left - beside));
    auto width = static_cast<JDIMENSION>(std::min(all.width, out.bounds.right + beside) - left);
    reader.run([&](jpeg_decompress_struct* info) { jpeg_crop_scanline(info, &left, &width); });
  }
  out.image.width = reader.info().output_width;
  out.image.height = out.bounds.bottom - out.bounds.top;
  out.image.channels = request.channels;
  const auto line = static_cast<std::size_t>(out.image.width * out.image.channels);
  out.image.pixels.resize(line * to_size(out.image.height));
  const bool to_the_end = out.bounds.bottom == all.height;
  std::vector<unsigned char> inks(has_inks(reader.info()) ? 4 * to_size(out.image.width) : 0);
  reader.run([&, pixels = out.image.pixels.data()](jpeg_decompress_struct* info) {
    if (top > 0) jpeg_skip_scanlines(info, top);
    for (JDIMENSION done = 0; info->output_scanline < static_cast<JDIMENSION>(out.bounds.bottom);) {
      JSAMPROW row = inks.empty() ? pixels + line * done : inks.data();
      const JDIMENSION got = jpeg_read_scanlines(info, &row, 1);
      if (got > 0) light_of_inks(inks, request.channels, pixels + line * done);
      done += got;
    }
    if (to_the_end) jpeg_finish_decompress(info);
  });
  out.window.left -= left;
  out.window.top -= top;
  out.bounds = {out.bounds.left - left, 0, out.bounds.right - left, out.image.height};
}

#else

void decode_jpeg_part(std::string_view, const PartRequest&, const std::string& name, DecodedPart&) {
  fail(ExitCode::usage, "cannot read {}: this build has no libjpeg-turbo; install libjpeg62-turbo-dev and build again",
       name);
}

#endif

}  // namespace detail
}  // namespace trireme
