// Asks each library for the version that runs, not the one it was compiled against, where the library can say.
#include "core/io/library_versions.hpp"

#include <fmt/format.h>
#include <hdf5.h>
#include <xxhash.h>
#include <zlib.h>
#ifdef TRIREME_HAS_PNG
#include <png.h>
#endif

#include "core/io/json.hpp"

namespace trireme {

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  if (H5get_libversion(&major, &minor, &release) < 0) return "unknown";
  return fmt::format("{}.{}.{}", major, minor, release);
}

std::string json_version() { return Json::meta()["version"]["string"].get<std::string>(); }

std::string png_version() {
#ifdef TRIREME_HAS_PNG
  return png_get_libpng_ver(nullptr);
#else
  return "";
#endif
}

std::string zlib_library_version() { return zlibVersion(); }

std::string xxhash_version() {
  const unsigned number = XXH_versionNumber();
  return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
}

}  // namespace trireme
