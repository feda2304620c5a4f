// Versions of the libraries whose headers live in core/io, for `trireme --version`. An empty text: built without it.
#pragma once

#include <string>

namespace trireme {

std::string hdf5_version();
std::string json_version();
std::string png_version();
std::string zlib_library_version();
std::string xxhash_version();

}  // namespace trireme
