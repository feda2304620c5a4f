#include "core/io/hdf5_handles.hpp"

#include <array>

namespace trireme::hdf5 {
namespace {

std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

/// Adds one entry of the error stack unless it repeats the one before.
herr_t add_entry(unsigned, const H5E_error2_t* entry, void* text) {
  auto& out = *static_cast<std::string*>(text);
  const std::string words = entry->desc != nullptr ? entry->desc : "";
  if (words.empty() || (out.size() >= words.size() && out.ends_with(words))) return 0;
  if (!out.empty()) out += "; ";
  out += words;
  return 0;
}

struct FloatLayout {
  std::size_t bytes;
  std::size_t exponent_bits;
  std::size_t fraction_bits;
};
constexpr FloatLayout f16_layout{2, 5, 10}, bf16_layout{2, 8, 7}, f32_layout{4, 8, 23}, f64_layout{8, 11, 52};

Id small_float(const FloatLayout& layout) {
  Id type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  const std::size_t sign = layout.exponent_bits + layout.fraction_bits;
  // The fields must fit the type at every moment: they shrink before the size does.
  const bool ok =
      H5Tset_fields(type.get(), sign, layout.fraction_bits, layout.exponent_bits, 0, layout.fraction_bits) >= 0 &&
      H5Tset_size(type.get(), layout.bytes) >= 0 &&
      H5Tset_ebias(type.get(), (std::size_t{1} << (layout.exponent_bits - 1)) - 1) >= 0;
  require(ok, "HDF5 cannot describe a 16-bit float: {}", library_error());
  return type;
}

bool has_layout(hid_t type, const FloatLayout& want) {
  std::size_t sign = 0, exponent_at = 0, exponent_bits = 0, fraction_at = 0, fraction_bits = 0;
  if (H5Tget_size(type) != want.bytes) return false;
  if (H5Tget_fields(type, &sign, &exponent_at, &exponent_bits, &fraction_at, &fraction_bits) < 0) return false;
  return exponent_bits == want.exponent_bits && fraction_bits == want.fraction_bits && fraction_at == 0 &&
         exponent_at == want.fraction_bits && sign == want.bytes * 8 - 1;
}

}  // namespace

Lock::Lock() : guard_(library_mutex()) {
  // At the end of the process the library would try again what a full disk has refused it, and crash. Files are closed
  // by their owners.
  [[maybe_unused]] static const herr_t done = H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string library_error() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, add_entry, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "HDF5 gives no reason" : text;
}

void fail_call(const Blame& blame) {
  const std::string object = blame.object.empty() || blame.object == "/" ? "" : fmt::format("'{}' of ", blame.object);
  const char* const advice = blame.code == ExitCode::storage ? "; is the disk full or read-only?" : "";
  fail(blame.code, "cannot {} {}{}: {}{}", blame.action, object, blame.path, library_error(), advice);
}

Id access_properties(const Blame& blame) {
  constexpr hsize_t data_alignment = 64;  // a cache line: vector loads from a mapped dataset never straddle two
  Id list = checked(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, blame);
  checked(H5Pset_libver_bounds(list.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), blame);
  checked(H5Pset_alignment(list.get(), 1, data_alignment), blame);
  checked(H5Pset_file_locking(list.get(), 0, 1), blame);
  // Objects left open keep a file open behind the caller's back; semi would turn that into an error at close.
  checked(H5Pset_fclose_degree(list.get(), H5F_CLOSE_STRONG), blame);
  return list;
}

Id creation_properties(const Blame& blame) {
  Id list = checked(H5Pcreate(H5P_FILE_CREATE), H5Pclose, blame);
  checked(H5Pset_obj_track_times(list.get(), 0), blame);  // of the root group
  return list;
}

Id make_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return {H5Tcopy(H5T_IEEE_F64LE), H5Tclose};
    case DType::i32:
      return {H5Tcopy(H5T_STD_I32LE), H5Tclose};
    case DType::i64:
      return {H5Tcopy(H5T_STD_I64LE), H5Tclose};
    case DType::u8:
      return {H5Tcopy(H5T_STD_U8LE), H5Tclose};
    case DType::u16:
      return {H5Tcopy(H5T_STD_U16LE), H5Tclose};
    case DType::f16:
      return small_float(f16_layout);
    case DType::bf16:
      return small_float(bf16_layout);
    case DType::f32:
      break;
  }
  return {H5Tcopy(H5T_IEEE_F32LE), H5Tclose};
}

DType dtype_of_type(hid_t type, const Blame& blame) {
  const H5T_class_t kind = H5Tget_class(type);
  const std::size_t bytes = H5Tget_size(type);
  const bool little = bytes == 1 || H5Tget_order(type) == H5T_ORDER_LE;
  if (little && kind == H5T_INTEGER) {
    if (bytes == 1 && H5Tget_sign(type) == H5T_SGN_NONE) return DType::u8;
    if (bytes == 2 && H5Tget_sign(type) == H5T_SGN_NONE) return DType::u16;
    if (bytes == 4 && H5Tget_sign(type) == H5T_SGN_2) return DType::i32;
    if (bytes == 8 && H5Tget_sign(type) == H5T_SGN_2) return DType::i64;
  }
  if (little && kind == H5T_FLOAT) {
    if (has_layout(type, f32_layout)) return DType::f32;
    if (has_layout(type, f64_layout)) return DType::f64;
    if (has_layout(type, f16_layout)) return DType::f16;
    if (has_layout(type, bf16_layout)) return DType::bf16;
  }
  fail(ExitCode::corrupt_input,
       "cannot {} '{}' of {}: its elements ({} bytes) have none of the types f32, f64, bf16, f16, i32, i64, u8, u16 "
       "(little-endian)",
       blame.action, blame.object, blame.path, bytes);
}

}  // namespace trireme::hdf5
