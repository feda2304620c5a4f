// Datasets in chunks of the HDF5 wrapper. The library's filters are named in the file for other readers and never run
// here: what they would do to a chunk its caller has done.
#include <vector>

#include "core/base/checked.hpp"
#include "core/io/hdf5.hpp"
#include "core/io/hdf5_handles.hpp"

namespace trireme::hdf5 {
namespace {

/// The extents of a chunk; empty where the dataset is contiguous.
std::vector<hsize_t> chunk_extents(hid_t dataset, int dims, const Blame& blame) {
  const Id list = checked(H5Dget_create_plist(dataset), H5Pclose, blame);
  if (H5Pget_layout(list.get()) != H5D_CHUNKED) return {};
  std::vector<hsize_t> extents(static_cast<std::size_t>(dims));
  checked(H5Pget_chunk(list.get(), dims, extents.data()), blame);
  const auto filter = [&](unsigned place) {
    std::size_t values = 0;
    unsigned flags = 0;
    return H5Pget_filter2(list.get(), place, &flags, &values, nullptr, 0, nullptr, nullptr);
  };
  if (H5Pget_nfilters(list.get()) != 2 || filter(0) != H5Z_FILTER_SHUFFLE || filter(1) != H5Z_FILTER_DEFLATE)
    fail(ExitCode::corrupt_input, "cannot read '{}' of {}: its chunks have other filters than shuffle and deflate",
         blame.object, blame.path);
  return extents;
}

}  // namespace

void File::create_chunked(const std::string& name, DType dtype, const Shape& shape, const ChunkForm& form) {
  require(shape.dims() > 0 && form.rows > 0 && form.rows <= shape[0],
          "chunks of {} rows of '{}' of {}: its shape is {}", form.rows, name, path_, shape.text());
  const Lock lock;
  const Blame blame{path_, name, "create", ExitCode::storage};
  std::vector<hsize_t> extents(shape.extents().begin(), shape.extents().end());
  const Id space = checked(H5Screate_simple(shape.dims(), extents.data(), nullptr), H5Sclose, blame);
  const Id list = checked(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, blame);
  extents[0] = static_cast<hsize_t>(form.rows);
  checked(H5Pset_chunk(list.get(), shape.dims(), extents.data()), blame);
  checked(H5Pset_shuffle(list.get()), blame);
  checked(H5Pset_deflate(list.get(), static_cast<unsigned>(form.level)), blame);
  checked(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), blame);
  checked(H5Pset_obj_track_times(list.get(), 0), blame);
  const Id type = make_type(dtype);
  checked(H5Dcreate2(id_, name.c_str(), type.get(), space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT), H5Dclose,
          blame);
}

void File::write_chunk(const std::string& name, std::int64_t first, std::span<const std::byte> packed) {
  const Shape shape = info(name).shape;
  const Lock lock;
  const Blame blame{path_, name, "write", ExitCode::storage};
  const Id dataset = checked(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose, blame);
  std::vector<hsize_t> start(static_cast<std::size_t>(shape.dims()), 0);
  start[0] = static_cast<hsize_t>(first);
  checked(H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, 0, start.data(), packed.size(), packed.data()), blame);
}

std::int64_t File::chunk_rows(const std::string& name) const {
  const Shape shape = info(name).shape;
  const Lock lock;
  const Blame blame{path_, name, "read", ExitCode::corrupt_input};
  const Id dataset = checked(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose, blame);
  const std::vector<hsize_t> extents = chunk_extents(dataset.get(), shape.dims(), blame);
  if (extents.empty()) return 0;
  for (int dim = 1; dim < shape.dims(); ++dim)
    if (extents[static_cast<std::size_t>(dim)] != static_cast<hsize_t>(shape[dim]))
      fail(ExitCode::corrupt_input, "cannot read '{}' of {}: its chunks do not hold whole rows", name, path_);
  return narrow<std::int64_t>(extents[0]);
}

std::vector<ByteRange> File::chunk_ranges(const std::string& name) const {
  const std::int64_t rows = chunk_rows(name);
  const Shape shape = info(name).shape;
  const Lock lock;
  const Blame blame{path_, name, "read", ExitCode::corrupt_input};
  const Id dataset = checked(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose, blame);
  std::vector<ByteRange> out;
  std::vector<hsize_t> start(static_cast<std::size_t>(shape.dims()), 0);
  for (std::int64_t first = 0; rows > 0 && first < shape[0]; first += rows) {
    start[0] = static_cast<hsize_t>(first);
    unsigned skipped = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    checked(H5Dget_chunk_info_by_coord(dataset.get(), start.data(), &skipped, &address, &bytes), blame);
    if (address == HADDR_UNDEF || skipped != 0)
      fail(ExitCode::corrupt_input, "cannot read '{}' of {}: the chunk at row {} is missing or not deflated", name,
           path_, first);
    const auto begin = narrow<std::int64_t>(address);
    out.push_back({begin, checked_add(begin, narrow<std::int64_t>(bytes))});
  }
  return out;
}

}  // namespace trireme::hdf5
