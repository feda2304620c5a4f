// Random changes of images u8 (H, W, C) for training, besides the shifts and mirrors of datasets/transform.hpp. All of
// them keep the size, and are a pure function of the image and the sample's key.
#pragma once

#include <memory>
#include <string>

#include "datasets/pair_mixing.hpp"
#include "datasets/transform.hpp"

namespace trireme {

/// A window of a random part of the area, in [least_area, 1], and a random ratio of sides, 3/4 to 4/3 (as the image's
/// width allows), scaled to the image's size (Szegedy et al. 2014, arXiv:1409.4842).
std::shared_ptr<const Transform> random_resized_crop(double least_area = 0.08);

/// Turned about its middle by up to so many degrees to either side, pixels between four others mixed of them; what
/// comes from outside is 0.
std::shared_ptr<const Transform> random_rotation(double degrees = 15);

/// Brightness, then contrast, then saturation (of three channels), each times a random factor in [1 - strength, 1 +
/// strength]: x f; mean + (x - mean) f, the mean of the image's grey; grey + (x - grey) f. Grey is 0.299 R + 0.587 G +
/// 0.114 B (ITU-R BT.601), of other numbers of channels their mean.
std::shared_ptr<const Transform> colour_jitter(double strength = 0.2);

/// With a probability a rectangle of 2 to 33 % of the area and sides in a ratio of 0.3 to 3.3 becomes 0 (Zhong et al.
/// 2017, arXiv:1708.04896).
std::shared_ptr<const Transform> random_erasing(double probability = 0.25);

/// A square of so many pixels a side around a random point, as far as it lies inside, becomes 0 (DeVries and Taylor
/// 2017, arXiv:1708.04552).
std::shared_ptr<const Transform> cutout(std::int64_t side);

/// Changes of each image, and how images are then mixed.
struct ImageChanges {
  TransformList list = {};
  PairMixing mixing = {};
};

/// The changes that a text names, in its order, separated by commas: flip[=probability], shift[=pixels] (2),
/// crop[=least area] (0.08), rotate[=degrees] (15), jitter[=strength] (0.2), erase[=probability] (0.25),
/// cutout=side, and behind all of these mixup[=alpha] (0.2) and cutmix[=alpha] (1); "none" and the empty text: nothing.
/// Error(usage) for anything else.
ImageChanges image_changes(const std::string& text);

}  // namespace trireme
