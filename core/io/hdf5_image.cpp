// The file driver of HDF5 behind FileImage, and File::lay_out(). Its callbacks are C: no exception may leave them.
#include "core/io/hdf5_image.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <tuple>

#include "core/io/hdf5.hpp"
#include "core/io/hdf5_handles.hpp"
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

namespace trireme::hdf5 {
namespace {

constexpr haddr_t largest_address = ~haddr_t{0} >> 1;

/// What the library holds of an open image; its own part must come first.
struct OpenImage {
  H5FD_t library;
  FileImage* image;
  haddr_t end;  ///< Of the space that the library has given out.
};

OpenImage& opened(H5FD_t* file) { return *reinterpret_cast<OpenImage*>(file); }
const OpenImage& opened(const H5FD_t* file) { return *reinterpret_cast<const OpenImage*>(file); }

H5FD_t* open_image(const char*, unsigned flags, hid_t access, haddr_t) {
  const auto* info = static_cast<FileImage* const*>(H5Pget_driver_info(access));
  if (info == nullptr) return nullptr;
  auto* file = new (std::nothrow) OpenImage{{}, *info, 0};
  if (file == nullptr) return nullptr;
  if ((flags & H5F_ACC_TRUNC) != 0) file->image->clear();
  return &file->library;
}

herr_t close_image(H5FD_t* file) {
  delete &opened(file);
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  if (flags != nullptr) *flags = H5FD_FEAT_AGGREGATE_METADATA;
  return 0;
}

haddr_t get_end(const H5FD_t* file, H5FD_mem_t) { return opened(file).end; }

herr_t set_end(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  opened(file).end = address;
  return 0;
}

haddr_t get_bytes(const H5FD_t* file, H5FD_mem_t) { return static_cast<haddr_t>(opened(file).image->bytes()); }

/// The library passes: the file; the kind of data, a property list, the address, the bytes and the memory.
template <class... Rest>
herr_t read_image(H5FD_t* file, Rest... rest) {
  const auto [kind, list, address, bytes, out] = std::tuple(rest...);
  if (address > largest_address) return -1;
  opened(file).image->read(static_cast<std::int64_t>(address), {static_cast<std::byte*>(out), bytes});
  return 0;
}

template <class... Rest>
herr_t write_image(H5FD_t* file, Rest... rest) {
  const auto [kind, list, address, bytes, data] = std::tuple(rest...);
  if (address > largest_address) return -1;
  try {
    opened(file).image->write(static_cast<std::int64_t>(address), {static_cast<const std::byte*>(data), bytes});
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

herr_t truncate_image(H5FD_t* file, hid_t, hbool_t) {
  opened(file).image->set_bytes(static_cast<std::int64_t>(opened(file).end));
  return 0;
}

/// Registered once, for as long as the process lives.
hid_t driver(const Blame& blame) {
  static hid_t id = H5I_INVALID_HID;
  if (id >= 0) return id;
  H5FD_class_t functions{};
#if H5_VERSION_GE(1, 13, 0)
  functions.version = H5FD_CLASS_VERSION;
  functions.value = H5FD_class_value_t{345};  // from the range the library leaves to others
#endif
  functions.name = "trireme_image";
  functions.maxaddr = largest_address;
  functions.fc_degree = H5F_CLOSE_STRONG;
  functions.fapl_size = sizeof(FileImage*);
  functions.open = open_image;
  functions.close = close_image;
  functions.query = query;
  functions.get_eoa = get_end;
  functions.set_eoa = set_end;
  functions.get_eof = get_bytes;
  functions.read = read_image;
  functions.write = write_image;
  functions.truncate = truncate_image;
  const H5FD_mem_t kinds[] = H5FD_FLMAP_DICHOTOMY;
  std::copy(std::begin(kinds), std::end(kinds), std::begin(functions.fl_map));
  id = checked(H5FDregister(&functions), blame);
  return id;
}

}  // namespace

void FileImage::clear() {
  pages_.clear();
  bytes_ = 0;
}

void FileImage::read(std::int64_t offset, std::span<std::byte> out) const {
  std::fill(out.begin(), out.end(), std::byte{0});
  const std::int64_t end = offset + static_cast<std::int64_t>(out.size());
  for (auto it = pages_.lower_bound(offset / page_bytes); it != pages_.end() && it->first * page_bytes < end; ++it) {
    const std::int64_t page = it->first * page_bytes;
    const std::int64_t from = std::max(offset, page), to = std::min(end, page + page_bytes);
    std::copy(it->second.begin() + (from - page), it->second.begin() + (to - page), out.begin() + (from - offset));
  }
}

void FileImage::write(std::int64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::int64_t at = offset % page_bytes;
    const auto some = std::min(data.size(), static_cast<std::size_t>(page_bytes - at));
    Page& page = pages_.try_emplace(offset / page_bytes, Page{}).first->second;
    std::copy_n(data.begin(), some, page.begin() + at);
    data = data.subspan(some);
    offset += static_cast<std::int64_t>(some);
    bytes_ = std::max(bytes_, offset);
  }
}

File File::lay_out(FileImage& image, const std::string& path) {
  const Lock lock;
  const Blame blame{path, "", "lay out", ExitCode::storage};
  const Id access = access_properties(blame);
  FileImage* const info = &image;
  checked(H5Pset_driver(access.get(), driver(blame), &info), blame);
  const Id creation = creation_properties(blame);
  return {path, checked(H5Fcreate("image", H5F_ACC_TRUNC, creation.get(), access.get()), blame), Mode::lay_out};
}

}  // namespace trireme::hdf5
