// Gathers the versions from the homes of the libraries; no library is started for it.
#include "launcher/job/version.hpp"

#include <fmt/format.h>

#include "comm/mpi_version.hpp"
#include "core/io/image_decode.hpp"
#include "core/io/library_versions.hpp"
#include "core/io/png.hpp"
#include "core/ops/onednn_version.hpp"
#include "launcher/job/job_database.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

std::string version_text() {
#ifdef TRIREME_HAS_CUDA
  const char* cuda = "yes";
#else
  const char* cuda = "no (CPU only)";
#endif
  const char* png = png_available() ? "yes" : "no (no images in TensorBoard files, no PNG images read)";
  const char* jpeg = jpeg_available() ? "yes" : "no (no JPEG images read)";
  std::string out =
      fmt::format("trireme {}\nfeatures:\n  cuda       {}\n  png        {}\n  jpeg       {}\nlibraries:\n",
                  TRIREME_VERSION, cuda, png, jpeg);
  const auto add = [&out](const char* name, const std::string& version) {
    if (!version.empty()) out += fmt::format("  {:<10} {}\n", name, version);
  };
  add("MPI", mpi_version());
  add("oneDNN", onednn_version());
  add("HDF5", hdf5_version());
  add("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  add("Boost", boost_version());
  add("JSON", json_version());
  add("xxHash", xxhash_version());
  add("zlib", zlib_library_version());
  add("libpng", png_version());
  add("SQLite", sqlite_version());
  return out;
}

}  // namespace trireme
