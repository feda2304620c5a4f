// Texts out of an R package: its lazy-load database (Rdata.rdb), in which every object is a zlib stream of R's
// serialisation format. Character vectors, a line of text each element, become text files; other objects are passed
// over.
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// Writes one file a character vector of at least `least_lines` elements into `folder`, which appears whole or not at
/// all: NAME.txt, after its first line that is not empty. Missing values become empty lines. Returns the files' names
/// with their bytes, in order. corrupt_input for a file that is no such database, or where nothing was found.
struct RdbImport {
  std::string file, folder;
  std::size_t least_lines = 100;
};
struct UnpackedText {
  std::string name;
  std::size_t bytes = 0;
};
std::vector<UnpackedText> import_rdb(const RdbImport& import);

}  // namespace trireme
