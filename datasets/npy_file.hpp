// A NumPy array file (.npy, formats 1.0, 2.0 and 3.0: numpy.lib.format), read front to back in blocks of samples, which
// lie along dim 0. Nothing in it is evaluated: the header is a Python literal of three known keys, and arrays of
// objects (pickles) are refused. Elements become those of a dtype that a data set has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/io/gzip.hpp"
#include "core/io/json.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

/// What the header of a .npy file says.
struct NpyHeader {
  char kind = 'f';  ///< Of NumPy: b (truth values), i, u or f.
  int bytes = 4;    ///< Of an element.
  enum class Order : std::uint8_t { little, big } order = Order::little;
  std::vector<std::int64_t> shape = {};
  /// bool and u1 become u8; i1, i2, i4 i32; u2 u16; u4, u8, i8 i64; f2, f4, f8 their like.
  DType dtype() const;
};

class NpyFile {
 public:
  /// Reads the header and compares the size of the file with it. ExitCode::corrupt_input, with what to do about it, for
  /// another format, compressed files, types without a dtype, Fortran order, no samples, and files cut off.
  explicit NpyFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const NpyHeader& header() const { return header_; }
  std::int64_t rows() const { return header_.shape.front(); }
  /// Shape of one sample.
  Shape row() const;
  /// Bytes of one sample as dtype().
  std::int64_t row_bytes() const { return row_elements_ * static_cast<std::int64_t>(size_of(header_.dtype())); }
  /// The next `rows` samples as elements of header().dtype(), little-endian. Numbers that i64 does not hold are
  /// corrupt_input.
  void read_rows(std::int64_t rows, std::vector<std::byte>& out);
  /// "images.npy: element [3, 0, 7]"; `element` counts within sample `row`.
  std::string place(std::int64_t row, std::int64_t element) const;
  /// After all rows: name, size and checksum of the file.
  Json end();

 private:
  void read_header();
  void check_size();

  InputFile file_;
  NpyHeader header_;
  std::int64_t row_elements_ = 1, read_ = 0;
  std::vector<std::byte> raw_;
};

}  // namespace trireme
