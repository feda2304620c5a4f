// JPEG files made in memory, for tests and benchmarks. Without libjpeg-turbo there are none.
#pragma once

#include <string>

#include "core/io/png.hpp"
#if __has_include(<jpeglib.h>)
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>
#endif

namespace trireme {

struct JpegForm {
  int quality = 95;
  /// Pixels of brightness for one of colour, along each side: 1 or 2.
  int colour_step = 1;
  bool inks_as_light = false;  ///< Four channels: stored as YCCK.
};

inline std::string jpeg_bytes([[maybe_unused]] const ImageView& image, [[maybe_unused]] const JpegForm& form = {}) {
#if __has_include(<jpeglib.h>)
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = static_cast<int>(image.channels);
  info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : image.channels == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  if (form.inks_as_light) jpeg_set_colorspace(&info, JCS_YCCK);
  jpeg_set_quality(&info, form.quality, TRUE);
  info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = image.channels == 1 ? 1 : form.colour_step;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    const auto at =
        static_cast<std::size_t>(info.next_scanline) * static_cast<std::size_t>(image.width * image.channels);
    auto* row = const_cast<JSAMPLE*>(image.pixels.data() + at);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string out(reinterpret_cast<char*>(bytes), size);
  std::free(bytes);
  return out;
#else
  return {};
#endif
}

}  // namespace trireme
