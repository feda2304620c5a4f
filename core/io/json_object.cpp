#include "core/io/json_object.hpp"

#include <cmath>
#include <limits>
#include <set>

#include "core/base/checked.hpp"

namespace trireme {
namespace {

constexpr int deepest = 64;
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

bool JsonObject::flag(const char* key) const {
  const Json& found = value(key);
  if (!found.is_boolean()) refuse(key, "is neither true nor false");
  return found.get<bool>();
}

Hash128 JsonObject::hash(const char* key) const {
  const std::string_view hex = text(key);
  Hash128 hash;
  if (hex.size() != 32 || !parse_hex(hex.substr(0, 16), hash.high) || !parse_hex(hex.substr(16), hash.low)) {
    refuse(key, "is not a checksum of 32 hexadecimal digits");
  }
  return hash;
}

DType JsonObject::dtype(const char* key) const {
  try {
    return parse_dtype(text(key));
  } catch (const Error& error) {
    refuse(key, fmt::format("is unknown: {}", error.what()));
  }
}

Shape JsonObject::shape(const char* key) const {
  std::vector<std::int64_t> extents;
  for (const Json& extent : list(key)) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > most_count) {
      refuse(key, "is not a list of integers from 0");
    }
    extents.push_back(extent.get<std::int64_t>());
    if (extents.size() > Shape::max_dims) break;
  }
  try {
    Shape shape{std::span<const std::int64_t>(extents)};
    checked_mul(shape.elements(), 8);
    return shape;
  } catch (const Error& error) {
    refuse(key, fmt::format("is impossible: {}", error.what()));
  }
}

JsonObject JsonObject::object(const char* key) const {
  return {value(key), path_, fmt::format("{}{}{}", place_, place_.empty() ? "" : ".", key)};
}

const Json& JsonObject::list(const char* key) const {
  const Json& found = value(key);
  if (!found.is_array()) refuse(key, "is not a list");
  return found;
}

std::vector<std::string> JsonObject::texts(const char* key) const {
  std::vector<std::string> out;
  for (const Json& item : list(key)) {
    if (!item.is_string()) refuse(key, "is not a list of texts");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::vector<double> JsonObject::numbers(const char* key) const {
  std::vector<double> out;
  for (const Json& item : list(key)) {
    if (!item.is_number() || !std::isfinite(item.get<double>())) refuse(key, "is not a list of finite numbers");
    out.push_back(item.get<double>());
  }
  return out;
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
  std::vector<std::set<std::string>> keys;  // Of the objects that are open.
  const auto watch = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth > deepest) {
      fail(ExitCode::corrupt_input, "{} is not {}: it is nested deeper than {}", path, what, deepest);
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      fail(ExitCode::corrupt_input, "{} is not {}: the key {} stands twice in one object", path, what, parsed.dump());
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    fail(ExitCode::corrupt_input, "{} is not {}: {}", path, what, error.what());
  }
}

}  // namespace trireme
