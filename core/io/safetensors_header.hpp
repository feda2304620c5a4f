// The text in front of a safetensors file: 8 bytes with its length, then JSON with name, element type, shape and place
// of every tensor, then the elements. There is no checksum in the format, so the reader is strict: tensors cover all
// bytes behind the header without hole and overlap, and sizes agree with shapes, or the file is refused. Shared by
// reader and writer (core/io/safetensors.hpp, core/io/safetensors_writer.hpp).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/byte_range.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

/// In bytes; the limit that other readers of the format have.
inline constexpr std::int64_t largest_safetensors_header = 100'000'000;

/// A tensor as a file describes it.
struct SafeTensor {
  std::string name;
  std::string dtype;  ///< As the file says it: "F32", "BF16"; may be one that this program has no elements for.
  Shape shape;
  ByteRange bytes;       ///< Of its file.
  std::size_t file = 0;  ///< Of those of the model.
  std::int64_t size() const { return bytes.end - bytes.begin; }
};

using SafeTensorsMetadata = std::map<std::string, std::string>;

struct SafeTensorsHeader {
  std::vector<SafeTensor> tensors;  ///< In order of their bytes.
  SafeTensorsMetadata metadata;
};

/// Element types by their names in the format; nothing for one that this program does not compute with ("BOOL").
std::optional<DType> safetensors_dtype(std::string_view name);
std::string_view safetensors_name(DType dtype);

/// `text` is the JSON, `data` the bytes of the file behind it. Errors are corrupt_input with `path`, tensor and reason.
SafeTensorsHeader parse_safetensors_header(const std::string& text, const std::string& path, ByteRange data);
/// The first bytes of a file: length and JSON, filled up with blanks so that the elements behind them are aligned to 8.
/// `tensors` have places counted from the end of the header; their names are UTF-8, and no two are equal.
std::string safetensors_header_bytes(const SafeTensorsHeader& header);

/// A name from a file, for messages: quoted, control characters escaped.
std::string quoted_name(const std::string& name);

}  // namespace trireme
