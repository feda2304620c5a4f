#include "core/io/safetensors_header.hpp"

#include <algorithm>
#include <array>

#include "core/io/json_object.hpp"

namespace trireme {
namespace {

constexpr const char* metadata_key = "__metadata__";
constexpr const char* what = "the header of a safetensors file";
constexpr std::size_t header_alignment = 8;

struct ElementType {
  std::string_view name;
  std::int64_t bytes;
  std::optional<DType> dtype;
};

/// All that fill whole bytes. Those without a DType are known by their size, so that a file in which one stands beside
/// others can be read.
const std::array<ElementType, 16> element_types = {{{"F64", 8, DType::f64},
                                                    {"F32", 4, DType::f32},
                                                    {"F16", 2, DType::f16},
                                                    {"BF16", 2, DType::bf16},
                                                    {"I64", 8, DType::i64},
                                                    {"I32", 4, DType::i32},
                                                    {"U8", 1, DType::u8},
                                                    {"BOOL", 1, {}},
                                                    {"I8", 1, {}},
                                                    {"I16", 2, {}},
                                                    {"U16", 2, DType::u16},
                                                    {"U32", 4, {}},
                                                    {"U64", 8, {}},
                                                    {"C64", 8, {}},
                                                    {"F8_E5M2", 1, {}},
                                                    {"F8_E4M3", 1, {}}}};

const ElementType* element_type(std::string_view name) {
  const auto* const found = std::ranges::find(element_types, name, &ElementType::name);
  return found == element_types.end() ? nullptr : found;
}

ByteRange places(const JsonObject& json, ByteRange data) {
  const Json& list = json.list("data_offsets");
  if (list.size() != 2) json.refuse("data_offsets", fmt::format("has {} numbers where 2 are wanted", list.size()));
  std::array<std::int64_t, 2> out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto most = static_cast<std::uint64_t>(data.end - data.begin);
    if (!list[i].is_number_unsigned() || list[i].get<std::uint64_t>() > most) {
      json.refuse("data_offsets",
                  fmt::format("has {}: the file has {} bytes behind its header; is it cut off?", list[i].dump(), most));
    }
    out[i] = list[i].get<std::int64_t>();
  }
  if (out[0] > out[1]) json.refuse("data_offsets", fmt::format("ends at {} before it begins at {}", out[1], out[0]));
  return {data.begin + out[0], data.begin + out[1]};
}

SafeTensor decode(const std::string& name, const JsonObject& json, ByteRange data) {
  SafeTensor tensor{.name = name, .dtype = json.text("dtype"), .shape = json.shape("shape"), .bytes = {}, .file = 0};
  const ElementType* const type = element_type(tensor.dtype);
  if (type == nullptr) json.refuse("dtype", fmt::format("is {}, which is not known", quoted_name(tensor.dtype)));
  tensor.bytes = places(json, data);
  const std::int64_t wanted = tensor.shape.elements() * type->bytes;  // Fits: elements of 8 bytes do.
  if (tensor.size() != wanted) {
    json.refuse(
        fmt::format("has {} bytes where {} of {} are {}", tensor.size(), tensor.shape.text(), tensor.dtype, wanted));
  }
  json.has_only(3);
  return tensor;
}

SafeTensorsMetadata decode_metadata(const Json& json, const std::string& path) {
  const JsonObject object(json, path, metadata_key);
  SafeTensorsMetadata out;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) object.refuse(fmt::format("has {}, which is not a text", quoted_name(key)));
    out.emplace(key, value.get<std::string>());
  }
  return out;
}

/// Sorts them by place; every byte of `data` must belong to exactly one.
void check_cover(std::vector<SafeTensor>& tensors, const std::string& path, ByteRange data) {
  std::ranges::sort(tensors, [](const SafeTensor& a, const SafeTensor& b) {
    return std::pair(a.bytes.begin, a.bytes.end) < std::pair(b.bytes.begin, b.bytes.end);
  });
  std::int64_t at = data.begin;
  const SafeTensor* before = nullptr;
  for (const SafeTensor& tensor : tensors) {
    if (tensor.bytes.begin < at) {
      fail(ExitCode::corrupt_input, "{}: tensors {} and {} lie in the same bytes", path, quoted_name(before->name),
           quoted_name(tensor.name));
    }
    if (tensor.bytes.begin > at) {
      fail(ExitCode::corrupt_input, "{}: {} bytes in front of tensor {} belong to none", path, tensor.bytes.begin - at,
           quoted_name(tensor.name));
    }
    at = tensor.bytes.end;
    before = &tensor;
  }
  if (at < data.end) {
    fail(ExitCode::corrupt_input, "{}: {} bytes behind the last tensor belong to none", path, data.end - at);
  }
}

}  // namespace

std::string quoted_name(const std::string& name) {
  return Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<DType> safetensors_dtype(std::string_view name) {
  const ElementType* const type = element_type(name);
  return type == nullptr ? std::nullopt : type->dtype;
}

std::string_view safetensors_name(DType dtype) {
  const auto* const found = std::ranges::find(element_types, std::optional(dtype), &ElementType::dtype);
  require(found != element_types.end(), "elements of {} cannot be written to a safetensors file", name_of(dtype));
  return found->name;
}

SafeTensorsHeader parse_safetensors_header(const std::string& text, const std::string& path, ByteRange data) {
  if (!text.starts_with('{')) {
    fail(ExitCode::corrupt_input, "{} is not a safetensors file: its header does not begin with a brace", path);
  }
  const Json json = parse_json(text, path, what);
  SafeTensorsHeader header;
  for (const auto& [name, value] : json.items()) {
    if (name == metadata_key) {
      header.metadata = decode_metadata(value, path);
    } else {
      header.tensors.push_back(decode(name, JsonObject(value, path, "tensor " + quoted_name(name)), data));
    }
  }
  check_cover(header.tensors, path, data);
  return header;
}

std::string safetensors_header_bytes(const SafeTensorsHeader& header) {
  Json json = Json::object();
  if (!header.metadata.empty()) json[metadata_key] = header.metadata;
  for (const SafeTensor& tensor : header.tensors) {
    const auto extents = tensor.shape.extents();
    const Json entry{{"dtype", tensor.dtype},
                     {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                     {"data_offsets", {tensor.bytes.begin, tensor.bytes.end}}};
    const bool fresh = tensor.name != metadata_key && json.emplace(tensor.name, entry).second;
    require(fresh, "{} is taken: a safetensors file needs a name for each tensor", quoted_name(tensor.name));
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::exception& error) {
    fail(ExitCode::failure, "a name cannot be written to a safetensors file: {}", error.what());
  }
  text.append((header_alignment - text.size() % header_alignment) % header_alignment, ' ');
  require(static_cast<std::int64_t>(text.size()) <= largest_safetensors_header,
          "the header of a safetensors file would have {} bytes, readers take {}", text.size(),
          largest_safetensors_header);
  std::string out(header_alignment, '\0');
  for (std::size_t i = 0; i < header_alignment; ++i) out[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return out + text;
}

}  // namespace trireme
