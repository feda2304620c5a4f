// Imports folders of PNG and JPEG files, a folder for each class: FOLDER/CLASS/.../image.png. All images become one
// size, or stay the files they are; they are decoded by several threads, and the result does not depend on how many.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/format.hpp"
#include "datasets/on_error.hpp"
#include "datasets/resize_image.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct ImagesImport {
  std::string folder = {};
  /// Becomes the split "test"; its classes must be among those of `folder`. Empty: none.
  std::string test_folder = {};
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  std::int64_t height = 224, width = 224, channels = 3;
  Fit fit = Fit::crop;
  /// files: the data set keeps the files' bytes, which loaders decode to that size (Fit::crop) or to parts of the
  /// image.
  enum class Keep : std::uint8_t { pixels, files } keep = Keep::pixels;
  OnError on_error = OnError::stop;
  int threads = 1;
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// Makes a data set with fields image u8 (H, W, C), encoded where files are kept, and label i32 (); classes are the
/// folders' names in the order of their bytes, samples stand in the order of classes and paths. Hidden files and files
/// that do not end in .png, .jpg or .jpeg are passed over. ExitCode::corrupt_input, naming it, for a file that is no
/// whole image, a class folder without images, and for fewer than two classes. With OnError::skip the first two give a
/// warning each (the files are then read twice: what is left must be known before anything is written). Kept files are
/// decoded too, to find the bad ones. ExitCode::usage for kept files that are to be stretched.
DatasetIndex import_images(const ImagesImport& import);

}  // namespace trireme
