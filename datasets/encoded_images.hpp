// Images that a data set keeps as PNG or JPEG files, decoded by the loader's threads.
#pragma once

#include <memory>

#include "datasets/resize_image.hpp"
#include "datasets/transform.hpp"

namespace trireme {

/// Encoded images to plain ones u8 (H, W, C) of the row's shape: scaled until the shorter side fits, then the middle.
/// ExitCode::corrupt_input for bytes that are no whole image.
std::shared_ptr<const Transform> decoded_image();

/// Decodes what `choose` says of an encoded row and makes it u8 of the row's shape; draws no random numbers.
void decode_row(const TransformInput& in, const std::function<PartChoice(ImageExtent)>& choose, std::uint8_t* out);

}  // namespace trireme
