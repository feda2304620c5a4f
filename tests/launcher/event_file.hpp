// Reads event files byte by byte with none of the code that writes them, and asks the real TensorBoard where there is
// one (TRIREME_PEER_PYTHON names a Python that has it).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "tests/support/peer_python.hpp"

namespace trireme::event_file {

/// One field of a protobuf message: `number` holds an integer or the bits of a float, `bytes` all else.
struct Field {
  int id = 0;
  int wire_type = 0;
  std::uint64_t number = 0;
  std::string bytes;
};
using Fields = std::vector<Field>;

inline std::uint64_t read_little(std::string_view bytes, std::size_t at, std::size_t count) {
  if (at + count > bytes.size()) throw std::runtime_error("a field is cut off");
  std::uint64_t out = 0;
  for (std::size_t k = 0; k < count; ++k) out |= std::uint64_t{static_cast<unsigned char>(bytes[at + k])} << (8 * k);
  return out;
}

inline std::uint64_t read_varint(std::string_view bytes, std::size_t& at) {
  std::uint64_t out = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const std::uint64_t byte = read_little(bytes, at++, 1);
    out |= (byte & 0x7f) << shift;
    if (byte < 0x80) return out;
  }
  throw std::runtime_error("a varint has no end");
}

inline Fields fields_of(std::string_view message) {
  Fields out;
  for (std::size_t at = 0; at < message.size();) {
    const std::uint64_t key = read_varint(message, at);
    Field field{.id = static_cast<int>(key >> 3), .wire_type = static_cast<int>(key & 7), .bytes = {}};
    if (field.wire_type == 0) {
      field.number = read_varint(message, at);
    } else if (field.wire_type == 1 || field.wire_type == 5) {
      const std::size_t width = field.wire_type == 1 ? 8 : 4;
      field.number = read_little(message, at, width);
      at += width;
    } else if (field.wire_type == 2) {
      const std::uint64_t length = read_varint(message, at);
      if (length > message.size() - at) throw std::runtime_error("bytes are cut off");
      field.bytes = message.substr(at, length);
      at += length;
    } else {
      throw std::runtime_error("unknown wire type");
    }
    out.push_back(field);
  }
  return out;
}

/// The field that must be there once.
inline const Field& only(const Fields& fields, int id) {
  const Field* found = nullptr;
  for (const Field& field : fields) {
    if (field.id != id) continue;
    if (found != nullptr) throw std::runtime_error("field " + std::to_string(id) + " is there twice");
    found = &field;
  }
  if (found == nullptr) throw std::runtime_error("there is no field " + std::to_string(id));
  return *found;
}
inline Fields inner(const Fields& fields, int id) { return fields_of(only(fields, id).bytes); }
inline bool has(const Fields& fields, int id) {
  return std::any_of(fields.begin(), fields.end(), [id](const Field& field) { return field.id == id; });
}
inline double as_double(const Field& field) { return std::bit_cast<double>(field.number); }
inline float as_float(const Field& field) { return std::bit_cast<float>(static_cast<std::uint32_t>(field.number)); }
inline std::vector<double> packed_doubles(const Field& field) {
  std::vector<double> out(field.bytes.size() / 8);
  std::memcpy(out.data(), field.bytes.data(), out.size() * 8);
  return out;
}

/// Bit by bit, and masked as TFRecord wants it.
inline std::uint32_t masked_sum(std::string_view bytes) {
  std::uint32_t sum = ~0u;
  for (const char c : bytes) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0x82f63b78u : 0u);
  }
  sum = ~sum;
  return ((sum >> 15) | (sum << 17)) + 0xa282ead8u;
}

/// The messages of a TFRecord text, up to a cut-off last record. Throws where a checksum is wrong.
inline std::vector<std::string> records_of(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at + 12 <= text.size();) {
    const std::uint64_t length = read_little(text, at, 8);
    if (read_little(text, at + 8, 4) != masked_sum(text.substr(at, 8)))
      throw std::runtime_error("the checksum of a length is wrong");
    if (length + 16 > text.size() - at) break;
    const std::string_view message = text.substr(at + 12, length);
    if (read_little(text, at + 12 + length, 4) != masked_sum(message))
      throw std::runtime_error("the checksum of a message is wrong");
    out.emplace_back(message);
    at += length + 16;
  }
  return out;
}

struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string version;
  bool start = false;
  std::vector<Fields> values;  ///< Summary.Value
};

inline Event parse_event(std::string_view message) {
  const Fields fields = fields_of(message);
  Event out;
  out.wall_time = as_double(only(fields, 1));
  out.step = static_cast<std::int64_t>(only(fields, 2).number);
  if (has(fields, 3)) out.version = only(fields, 3).bytes;
  if (has(fields, 7)) out.start = only(inner(fields, 7), 1).number == 1;
  if (has(fields, 5))
    for (const Field& value : inner(fields, 5)) out.values.push_back(fields_of(value.bytes));
  return out;
}

inline std::vector<Event> read_events(const std::string& path) {
  std::vector<Event> out;
  for (const std::string& message : records_of(read_file(path))) out.push_back(parse_event(message));
  return out;
}

inline std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

inline bool tensorboard_there() {
  static const bool there = peer_has("tensorboard, PIL");
  return there;
}

/// What TensorBoard reads from a folder; the form is that of read_tensorboard.py.
inline Json read_by_tensorboard(const std::string& folder) {
  return Json::parse(run_peer("launcher/read_tensorboard.py", {folder}, folder));
}

}  // namespace trireme::event_file
