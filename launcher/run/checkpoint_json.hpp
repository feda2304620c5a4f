// JSON of checkpoints, read with distrust: each value's type and range is checked, and what is wrong is an
// Error(corrupt_input) that says where. Shared by the sources of checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// An object inside a JSON text, with its place for messages; the values must outlive it.
class JsonObject {
 public:
  /// `path` names the text, `place` the object in it ("tensors[3]"; empty: the whole text).
  JsonObject(const Json& value, const std::string& path, std::string place);

  const Json& value(const char* key) const;
  const std::string& text(const char* key) const;
  /// An integer of at least 0.
  std::int64_t count(const char* key) const;
  Hash128 hash(const char* key) const;
  const Json& list(const char* key) const;
  /// Calls `take` with each object of a list.
  void each(const char* key, const std::function<void(const JsonObject&)>& take) const;
  /// Refuses entries beyond the `entries` that were asked for.
  void has_only(std::size_t entries) const;
  [[noreturn]] void refuse(const std::string& problem) const;
  [[noreturn]] void refuse(const char* key, const std::string& problem) const;

 private:
  const Json& value_;
  const std::string& path_;
  std::string place_;
};

/// Sorted keys, an entry a line; bytes that are no UTF-8 are replaced.
std::string dump_json(const Json& json);
/// `what` is what the text should be. Nested lists and objects end at a depth of 64.
Json parse_json(const std::string& text, const std::string& path, const char* what);

Json encode(const SavedFile& file);
Json encode(const SavedTensor& tensor);
SavedFile decode_file(const JsonObject& json);
/// Checks each piece by itself and that it lies in the tensor, not how pieces stand to each other.
SavedTensor decode_tensor(const JsonObject& json);

/// Not empty, UTF-8, without control characters, at most 1024 bytes.
bool is_plain_text(std::string_view text);
/// Letters, digits, '_', '-' and '.', not in front; at most 255.
bool is_plain_file_name(std::string_view name);

}  // namespace trireme
