#include "launcher/run/event_file.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "core/io/crc32c.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

constexpr std::size_t head_bytes = 12, frame_bytes = 16;

template <class T>
void append_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T read_raw(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// The message of the whole and undamaged record that `text` begins with.
std::optional<std::string_view> first_message(std::string_view text) {
  if (text.size() < frame_bytes) return std::nullopt;
  const auto length = read_raw<std::uint64_t>(text, 0);
  if (read_raw<std::uint32_t>(text, 8) != masked_crc32c(text.substr(0, 8))) return std::nullopt;
  if (length > text.size() - frame_bytes) return std::nullopt;
  const std::string_view message = text.substr(head_bytes, length);
  if (read_raw<std::uint32_t>(text, head_bytes + length) != masked_crc32c(message)) return std::nullopt;
  return message;
}

struct EventHead {
  std::int64_t step = 0;
  bool names_version = false;
};

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t out = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    out |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return out;
  }
  return std::nullopt;
}

/// The fields of an Event that matter here; nothing where the message is no protobuf.
std::optional<EventHead> head_of(std::string_view message) {
  EventHead head;
  while (!message.empty()) {
    const auto key = take_varint(message);
    if (!key) return std::nullopt;
    const std::uint64_t field = *key >> 3, wire_type = *key & 7;
    std::uint64_t skipped = wire_type == 1 ? 8 : wire_type == 5 ? 4 : 0;
    if (wire_type == 0 || wire_type == 2) {
      const auto number = take_varint(message);
      if (!number) return std::nullopt;
      if (wire_type == 2) skipped = *number;
      if (field == 2) head.step = static_cast<std::int64_t>(*number);
      if (field == 3) head.names_version = true;
    }
    if (skipped > message.size()) return std::nullopt;
    message.remove_prefix(skipped);
  }
  return head;
}

void drop_events_of_file(const std::string& path, std::int64_t step) {
  const std::string text = read_file(path);
  std::string kept;
  std::string_view rest = text;
  while (const auto message = first_message(rest)) {
    const auto head = head_of(*message);
    if (!head) break;
    const std::string_view record = rest.substr(0, message->size() + frame_bytes);
    if (head->step < step || head->names_version) kept += record;
    rest.remove_prefix(record.size());
  }
  const bool no_event_file = rest.size() == text.size();
  if (!no_event_file && kept != text) write_file_atomically(path, kept);
}

}  // namespace

std::string framed_record(std::string_view message) {
  std::string out;
  out.reserve(message.size() + frame_bytes);
  append_raw(out, std::uint64_t{message.size()});
  append_raw(out, masked_crc32c(out));
  out += message;
  append_raw(out, masked_crc32c(message));
  return out;
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with(event_file_prefix)) out.push_back(entry.path().string());
  return out;
}

void drop_events_from(const std::string& folder, std::int64_t step) {
  for (const std::string& path : event_files(folder)) {
    // The new file of a replacement that was killed; to TensorBoard it would be one more event file.
    if (path.ends_with(".tmp")) {
      std::filesystem::remove(path);
    } else {
      drop_events_of_file(path, step);
    }
  }
}

}  // namespace trireme
