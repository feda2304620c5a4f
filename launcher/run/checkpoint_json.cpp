#include "launcher/run/checkpoint_json.hpp"

#include <algorithm>
#include <vector>

namespace trireme {
namespace {

constexpr std::size_t longest_name = 1024;
constexpr std::size_t longest_file_name = 255;

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
  if (!is_plain_file_name(piece.file))
    json.refuse("file", fmt::format("{} is not a plain file name", Json(piece.file).dump()));
  const std::int64_t elements = tensor.shape.elements();
  if (piece.count == 0 || piece.first > elements || piece.count > elements - piece.first) {
    json.refuse(fmt::format("has {} elements from {}, {} has {}", piece.count, piece.first, tensor.label(), elements));
  }
  return piece;
}

}  // namespace

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
  if (!is_plain_file_name(file.name))
    json.refuse("name", fmt::format("{} is not a plain file name", Json(file.name).dump()));
  return file;
}

SavedTensor decode_tensor(const JsonObject& json) {
  SavedTensor tensor;
  tensor.plane = plain(json, "plane");
  tensor.name = plain(json, "name");
  tensor.shape = json.shape("shape");
  if (tensor.plane.find('/') != std::string::npos) json.refuse("plane", "holds a '/'");
  tensor.dtype = json.dtype("dtype");
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
