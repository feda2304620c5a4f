// Files and datasets of the HDF5 wrapper; attributes are in hdf5_attributes.cpp.
#include "core/io/hdf5.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/checked.hpp"
#include "core/io/descriptor.hpp"
#include "core/io/file.hpp"
#include "core/io/hdf5_handles.hpp"
#include "core/io/mapped_file.hpp"

namespace trireme::hdf5 {
namespace {

Shape shape_of(hid_t space, const Blame& blame) {
  const int dims = checked(H5Sget_simple_extent_ndims(space), blame);
  if (dims > Shape::max_dims) {
    fail(ExitCode::corrupt_input, "cannot {} '{}' of {}: it has {} dims, at most {} are supported", blame.action,
         blame.object, blame.path, dims, Shape::max_dims);
  }
  hsize_t extents[Shape::max_dims] = {};
  if (dims > 0) checked(H5Sget_simple_extent_dims(space, extents, nullptr), blame);
  std::int64_t signed_extents[Shape::max_dims] = {};
  try {
    std::int64_t elements = 1;
    for (int i = 0; i < dims; ++i) {
      signed_extents[i] = narrow<std::int64_t>(extents[i]);
      elements = checked_mul(elements, signed_extents[i]);
    }
    checked_mul(elements, 8);
  } catch (const Error& error) {
    fail(ExitCode::corrupt_input, "cannot {} '{}' of {}: {}", blame.action, blame.object, blame.path, error.what());
  }
  return Shape(std::span<const std::int64_t>(signed_extents, static_cast<std::size_t>(dims)));
}

std::vector<hsize_t> extents_of(const Shape& shape) { return {shape.extents().begin(), shape.extents().end()}; }

void sync_path(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) fail(ExitCode::storage, "cannot open {} to write it to the disk: {}", path, std::strerror(errno));
  sync_file(file, path);
}

}  // namespace

/// A transfer of rows between memory and a dataset; exactly one of the pointers is set.
struct File::Rows {
  std::int64_t first;
  std::int64_t count;
  const void* from;
  void* to;
};

File File::create(const std::string& path) {
  const Lock lock;
  const Blame blame{path, "", "create", ExitCode::storage};
  const Id access = access_properties(blame);
  const Id creation = creation_properties(blame);
  return {path, checked(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), blame), Mode::write};
}

File File::open(const std::string& path) {
  const std::size_t bytes = file_bytes(path);  // says "no such file" more clearly than the library
  const Lock lock;
  const Blame blame{path, "", "open", ExitCode::corrupt_input};
  const Id access = access_properties(blame);
  if (H5Fis_hdf5(path.c_str()) <= 0) {
    H5Eclear2(H5E_DEFAULT);
    fail(ExitCode::corrupt_input, "cannot open {}: its {} bytes are not an HDF5 file (or only the beginning of one)",
         path, bytes);
  }
  return {path, checked(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), blame), Mode::read};
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), id_(std::exchange(other.id_, -1)), mode_(other.mode_) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close_quietly();
    path_ = std::move(other.path_);
    id_ = std::exchange(other.id_, -1);
    mode_ = other.mode_;
  }
  return *this;
}

File::~File() { close_quietly(); }

void File::close_quietly() noexcept {
  if (id_ < 0) return;
  const Lock lock;
  H5Fclose(std::exchange(id_, -1));
}

void File::close() {
  if (id_ < 0) return;
  {
    const Lock lock;
    const Blame blame{path_, "", "finish", mode_ == Mode::read ? ExitCode::corrupt_input : ExitCode::storage};
    if (mode_ != Mode::read) checked(H5Fflush(id_, H5F_SCOPE_GLOBAL), blame);
    checked(H5Fclose(std::exchange(id_, -1)), blame);
  }
  if (mode_ == Mode::write) sync_path(path_);
}

std::int64_t File::create_dataset(const std::string& name, DType dtype, const Shape& shape) {
  require(shape.dims() > 0, "a dataset needs at least one dim: '{}' of {} has none", name, path_);
  const Lock lock;
  const Blame blame{path_, name, "create", ExitCode::storage};
  const auto extents = extents_of(shape);
  const Id space = checked(H5Screate_simple(shape.dims(), extents.data(), nullptr), H5Sclose, blame);
  const Id list = checked(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, blame);
  checked(H5Pset_layout(list.get(), H5D_CONTIGUOUS), blame);
  checked(H5Pset_alloc_time(list.get(), H5D_ALLOC_TIME_EARLY), blame);
  checked(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), blame);
  checked(H5Pset_obj_track_times(list.get(), 0), blame);
  const Id type = make_type(dtype);
  const Id dataset = checked(
      H5Dcreate2(id_, name.c_str(), type.get(), space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT), H5Dclose, blame);
  if (shape.elements() == 0) return 0;
  const haddr_t offset = H5Dget_offset(dataset.get());
  if (offset == HADDR_UNDEF) fail_call(blame);
  return narrow<std::int64_t>(offset);
}

void File::transfer(const std::string& name, const Rows& rows) const {
  const Lock lock;
  const bool writing = rows.from != nullptr;
  const Blame blame{path_, name, writing ? "write" : "read", writing ? ExitCode::storage : ExitCode::corrupt_input};
  const Id dataset = checked(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose, blame);
  const Id space = checked(H5Dget_space(dataset.get()), H5Sclose, blame);
  const Id type = checked(H5Dget_type(dataset.get()), H5Tclose, blame);
  const Shape shape = shape_of(space.get(), blame);
  require(shape.dims() > 0 && rows.first >= 0 && rows.count >= 0 && rows.first <= shape[0] - rows.count,
          "cannot {} rows [{}, {}) of '{}' of {}: its shape is {}", blame.action, rows.first, rows.first + rows.count,
          name, path_, shape.text());
  auto count = extents_of(shape);
  count[0] = static_cast<hsize_t>(rows.count);
  std::vector<hsize_t> start(count.size(), 0);
  start[0] = static_cast<hsize_t>(rows.first);
  if (shape.with(0, rows.count).elements() == 0) return;
  checked(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr), blame);
  const Id memory = checked(H5Screate_simple(shape.dims(), count.data(), nullptr), H5Sclose, blame);
  if (writing) {
    checked(H5Dwrite(dataset.get(), type.get(), memory.get(), space.get(), H5P_DEFAULT, rows.from), blame);
  } else {
    checked(H5Dread(dataset.get(), type.get(), memory.get(), space.get(), H5P_DEFAULT, rows.to), blame);
  }
}

void File::write_rows(const std::string& name, std::int64_t first, std::int64_t count, const void* data) {
  require(data != nullptr || count == 0, "no data to write into '{}' of {}", name, path_);
  if (count > 0) transfer(name, {first, count, data, nullptr});
}

void File::read_rows(const std::string& name, std::int64_t first, std::int64_t count, void* data) const {
  if (count > 0) transfer(name, {first, count, nullptr, data});
}

std::vector<std::string> File::dataset_names() const {
  const Lock lock;
  const Blame blame{path_, "", "list the datasets of", ExitCode::corrupt_input};
  std::vector<std::string> names;
  const auto add = [](hid_t group, const char* name, const H5L_info_t*, void* out) -> herr_t {
    H5O_info_t object;
    if (H5Oget_info_by_name2(group, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0) return -1;
    if (object.type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  checked(H5Literate(id_, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names), blame);
  return names;
}

DatasetInfo File::info(const std::string& name) const {
  const Lock lock;
  const Blame blame{path_, name, "read", ExitCode::corrupt_input};
  const Id dataset = checked(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose, blame);
  const Id space = checked(H5Dget_space(dataset.get()), H5Sclose, blame);
  const Id type = checked(H5Dget_type(dataset.get()), H5Tclose, blame);
  return {dtype_of_type(type.get(), blame), shape_of(space.get(), blame)};
}

std::int64_t File::contiguous_offset(const std::string& name) const {
  const DatasetInfo layout = info(name);
  if (layout.shape.elements() == 0) return 0;
  const std::size_t bytes = static_cast<std::size_t>(layout.shape.elements()) * size_of(layout.dtype);
  const std::size_t size = file_bytes(path_);
  const Lock lock;
  const Blame blame{path_, name, "map", ExitCode::corrupt_input};
  const Id dataset = checked(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose, blame);
  const haddr_t offset = H5Dget_offset(dataset.get());
  H5Eclear2(H5E_DEFAULT);
  if (offset == HADDR_UNDEF) {
    fail(ExitCode::corrupt_input, "cannot map '{}' of {}: its elements are not stored in one contiguous piece", name,
         path_);
  }
  if (offset > size || bytes > size - offset) {
    fail(ExitCode::corrupt_input, "cannot map '{}' of {}: bytes [{}, {}) are wanted, the file has {}", name, path_,
         offset, offset + bytes, size);
  }
  return narrow<std::int64_t>(offset);
}

}  // namespace trireme::hdf5
