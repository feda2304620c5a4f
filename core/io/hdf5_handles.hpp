// Shared by the sources of the HDF5 wrapper and by nothing else: the lock, owned ids, checked calls, element types.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"

namespace trireme::hdf5 {

/// Held during every use of the library; silences its own error printing, which is a setting of each thread.
class Lock {
 public:
  Lock();

 private:
  std::lock_guard<std::mutex> guard_;
};

/// An id of the library and how it is closed.
class Id {
 public:
  using Close = herr_t (*)(hid_t);
  Id(hid_t id, Close close) : id_(id), close_(close) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Id& operator=(Id&&) = delete;
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

/// Who to blame: an Error made from it reads "cannot <action> <object> of <path>: <the library's words>".
struct Blame {
  const std::string& path;
  std::string object;
  const char* action;
  ExitCode code;
};

/// What the library says went wrong in its last call, outermost to innermost.
std::string library_error();
[[noreturn]] void fail_call(const Blame& blame);

/// A result that is negative on failure.
template <class Result>
Result checked(Result result, const Blame& blame) {
  if (result < 0) fail_call(blame);
  return result;
}
inline Id checked(hid_t id, Id::Close close, const Blame& blame) { return {checked(id, blame), close}; }

/// How files are opened: newest format (its metadata has checksums), no advisory locks when only reading, because
/// network file systems often refuse them.
Id access_properties(const Blame& blame);
/// How files are made: no time stamps.
Id creation_properties(const Blame& blame);

/// The file type of a dtype: little-endian; f16 is IEEE binary16, bf16 a float of 8 exponent and 7 fraction bits.
Id make_type(DType dtype);
/// The dtype of a file type; ExitCode::corrupt_input for types without one.
DType dtype_of_type(hid_t type, const Blame& blame);

}  // namespace trireme::hdf5
