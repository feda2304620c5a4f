// A confusion matrix as a picture: a row for each true class, a column for each predicted one, the darker the larger
// the share of the row.
#pragma once

#include <string>

#include "launcher/run/class_report.hpp"

namespace trireme {

/// The bytes of a PNG file: a cell of 4 to 32 pixels for each pair, so that some 600 pixels are filled, lines between;
/// on the diagonal green, elsewhere red. Throws in a build without libpng.
std::string confusion_picture(const ConfusionMatrix& matrix);

}  // namespace trireme
