// JSON read with distrust: each value's type and range is checked, and what is wrong is an Error(corrupt_input) that
// says where. For files that come from elsewhere or may be damaged: indexes of data sets, manifests of checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/io/hash.hpp"
#include "core/io/json.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

/// An object inside a JSON text, with its place for messages; the values must outlive it.
class JsonObject {
 public:
  /// `path` names the text, `place` the object in it ("tensors[3]"; empty: the whole text).
  JsonObject(const Json& value, const std::string& path, std::string place);

  const Json& value(const char* key) const;
  bool has(const char* key) const { return value_.contains(key); }
  const std::string& text(const char* key) const;
  /// An integer of at least 0.
  std::int64_t count(const char* key) const;
  bool flag(const char* key) const;
  Hash128 hash(const char* key) const;
  DType dtype(const char* key) const;
  /// A list of extents; elements of 8 bytes in it do not overflow.
  Shape shape(const char* key) const;
  JsonObject object(const char* key) const;
  const Json& list(const char* key) const;
  std::vector<std::string> texts(const char* key) const;
  /// A list of finite numbers.
  std::vector<double> numbers(const char* key) const;
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
/// `what` is what the text should be. Nested lists and objects end at a depth of 64: the library copies and writes
/// values by recursion, which a text of brackets would drive through the end of the stack. A key that stands twice in
/// an object is refused: readers differ in which of the two counts.
Json parse_json(const std::string& text, const std::string& path, const char* what);

}  // namespace trireme
