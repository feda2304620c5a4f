// JPEG images by libjpeg-turbo's own interface, which decodes parts of an image (its TurboJPEG interface of version 2
// does not). For core/io/image_decode.cpp.
#pragma once

#include "core/io/image_decode.hpp"

namespace trireme::detail {

inline constexpr std::int64_t most_image_pixels = std::int64_t{1} << 28;

/// See decode_part().
void decode_jpeg_part(std::string_view bytes, const PartRequest& request, const std::string& name, DecodedPart& out);

}  // namespace trireme::detail
