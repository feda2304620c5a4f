#include "launcher/run/checkpoint_json.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/base/checked.hpp"

namespace trireme {
namespace {

constexpr int deepest = 64;
constexpr std::size_t longest_name = 1024;
constexpr std::size_t longest_file_name = 255;
constexpr auto most_count = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

/// The digit's value; -1 for anything but 0-9 and a-f (capitals would be a second spelling of the same hash).
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool parse_hex(std::string_view text, std::uint64_t& out) {
  out = 0;
  for (const char c : text) {
    const int digit = hex_digit(c);
    if (digit < 0) return false;
    out = out << 4 | static_cast<std::uint64_t>(digit);
  }
  return true;
}

std::string plain(const JsonObject& json, const char* key) {
  const std::string& text = json.text(key);
  if (!is_plain_text(text)) json.refuse(key, "is empty, longer than 1024 bytes or has control characters");
  return text;
}

Json encode(const SavedPiece& piece) {
  return {{"first", piece.first},     {"count", piece.count},   {"file", piece.file},
          {"dataset", piece.dataset}, {"offset", piece.offset}, {"xxh3_128", piece.hash.hex()}};
}

SavedPiece decode_piece(const JsonObject& json, const SavedTensor& tensor) {
  SavedPiece piece{.first = json.count("first"),
                   .count = json.count("count"),
                   .file = json.text("file"),
                   .dataset = plain(json, "dataset"),
                   .offset = json.count("offset"),
                   .hash = json.hash("xxh3_128")};
  json.has_only(6);
  if (!is_plain_file_name(piece.file)) json.refuse("file", fmt::format("'{}' is not a plain file name", piece.file));
  const std::int64_t elements = tensor.shape.elements();
  if (piece.count == 0 || piece.first > elements || piece.count > elements - piece.first) {
    json.refuse(fmt::format("has {} elements from {}, {} has {}", piece.count, piece.first, tensor.label(), elements));
  }
  return piece;
}

Shape decode_shape(const JsonObject& json) {
  std::vector<std::int64_t> extents;
  for (const Json& extent : json.list("shape")) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > most_count) {
      json.refuse("shape", "is not a list of integers from 0");
    }
    extents.push_back(extent.get<std::int64_t>());
    if (extents.size() > Shape::max_dims) break;
  }
  try {
    Shape shape{std::span<const std::int64_t>(extents)};
    checked_mul(shape.elements(), 8);
    return shape;
  } catch (const Error& error) {
    json.refuse("shape", fmt::format("is impossible: {}", error.what()));
  }
}

}  // namespace

JsonObject::JsonObject(const Json& value, const std::string& path, std::string place)
    : value_(value), path_(path), place_(std::move(place)) {
  if (!value.is_object()) refuse("is not an object");
}

void JsonObject::refuse(const std::string& problem) const {
  fail(ExitCode::corrupt_input, "{}: {} {}", path_, place_.empty() ? "it" : place_, problem);
}

void JsonObject::refuse(const char* key, const std::string& problem) const {
  fail(ExitCode::corrupt_input, "{}: {}{}{} {}", path_, place_, place_.empty() ? "" : ".", key, problem);
}

const Json& JsonObject::value(const char* key) const {
  const auto it = value_.find(key);
  if (it == value_.end()) refuse(key, "is missing");
  return *it;
}

const std::string& JsonObject::text(const char* key) const {
  const Json& found = value(key);
  if (!found.is_string()) refuse(key, "is not a text");
  return found.get_ref<const std::string&>();
}

std::int64_t JsonObject::count(const char* key) const {
  const Json& found = value(key);
  // What is not negative is stored as unsigned by the parser.
  if (!found.is_number_unsigned() || found.get<std::uint64_t>() > most_count) {
    refuse(key, fmt::format("is not an integer from 0 to {}", most_count));
  }
  return found.get<std::int64_t>();
}

Hash128 JsonObject::hash(const char* key) const {
  const std::string_view hex = text(key);
  Hash128 hash;
  if (hex.size() != 32 || !parse_hex(hex.substr(0, 16), hash.high) || !parse_hex(hex.substr(16), hash.low)) {
    refuse(key, "is not a checksum of 32 hexadecimal digits");
  }
  return hash;
}

const Json& JsonObject::list(const char* key) const {
  const Json& found = value(key);
  if (!found.is_array()) refuse(key, "is not a list");
  return found;
}

void JsonObject::each(const char* key, const std::function<void(const JsonObject&)>& take) const {
  const Json& items = list(key);
  for (std::size_t i = 0; i < items.size(); ++i) {
    take(JsonObject(items[i], path_, fmt::format("{}{}{}[{}]", place_, place_.empty() ? "" : ".", key, i)));
  }
}

void JsonObject::has_only(std::size_t entries) const {
  if (value_.size() != entries) refuse(fmt::format("has {} entries where {} are known", value_.size(), entries));
}

std::string dump_json(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace); }

Json parse_json(const std::string& text, const std::string& path, const char* what) {
  const auto shallow = [&](int depth, Json::parse_event_t, const Json&) {
    if (depth > deepest)
      fail(ExitCode::corrupt_input, "{} is not {}: it is nested deeper than {}", path, what, deepest);
    return true;
  };
  try {
    return Json::parse(text, shallow);
  } catch (const Json::exception& error) {
    fail(ExitCode::corrupt_input, "{} is not {}: {}", path, what, error.what());
  }
}

Json encode(const SavedFile& file) {
  return {{"name", file.name}, {"bytes", file.bytes}, {"structure", file.structure.hex()}};
}

Json encode(const SavedTensor& tensor) {
  Json pieces = Json::array();
  for (const auto& piece : tensor.pieces) pieces.push_back(encode(piece));
  const auto extents = tensor.shape.extents();
  return {{"plane", tensor.plane},
          {"name", tensor.name},
          {"dtype", name_of(tensor.dtype)},
          {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
          {"pieces", std::move(pieces)}};
}

SavedFile decode_file(const JsonObject& json) {
  SavedFile file{.name = json.text("name"), .bytes = json.count("bytes"), .structure = json.hash("structure")};
  json.has_only(3);
  if (!is_plain_file_name(file.name)) json.refuse("name", fmt::format("'{}' is not a plain file name", file.name));
  return file;
}

SavedTensor decode_tensor(const JsonObject& json) {
  SavedTensor tensor;
  tensor.plane = plain(json, "plane");
  tensor.name = plain(json, "name");
  tensor.shape = decode_shape(json);
  if (tensor.plane.find('/') != std::string::npos) json.refuse("plane", "holds a '/'");
  const std::string& dtype = json.text("dtype");
  try {
    tensor.dtype = parse_dtype(dtype);
  } catch (const Error& error) {
    json.refuse("dtype", fmt::format("is unknown: {}", error.what()));
  }
  json.each("pieces", [&](const JsonObject& piece) { tensor.pieces.push_back(decode_piece(piece, tensor)); });
  json.has_only(5);
  return tensor;
}

bool is_plain_text(std::string_view text) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.empty() || text.size() > longest_name || std::ranges::any_of(text, control)) return false;
  try {
    return !Json(text).dump().empty();  // throws where it is not UTF-8
  } catch (const Json::exception&) {
    return false;
  }
}

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_file_name && name.front() != '.' && name != manifest_file &&
         std::ranges::all_of(name, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
                  c == '.';
         });
}

}  // namespace trireme
