#include "core/io/safetensors.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/json_object.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t length_bytes = 8;
constexpr std::size_t largest_index = std::size_t{256} << 20;

struct Opened {
  Descriptor descriptor;
  std::int64_t bytes = 0;
};

[[noreturn]] void open_failed(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) fail(ExitCode::corrupt_input, "{}: is missing", path);
  fail(ExitCode::storage, "{}: cannot be opened: {}", path, std::strerror(error));
}

Opened open_regular(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer. Links are followed: caches of models are made of them.
  Opened out{Descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)), 0};
  struct stat facts {};
  if (!out.descriptor || ::fstat(out.descriptor.get(), &facts) != 0) open_failed(path, errno);
  if (!S_ISREG(facts.st_mode)) fail(ExitCode::corrupt_input, "{}: is not a regular file", path);
  out.bytes = facts.st_size;
  return out;
}

/// Where the header ends.
std::int64_t header_end(const Opened& file, const std::string& path) {
  std::byte raw[length_bytes];
  if (read_at(file.descriptor, 0, raw, path) != std::size(raw)) {
    fail(ExitCode::corrupt_input, "{} is not a safetensors file: it has {} bytes", path, file.bytes);
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < std::size(raw); ++i) length |= std::to_integer<std::uint64_t>(raw[i]) << (8 * i);
  const std::int64_t most = std::min(file.bytes - length_bytes, largest_safetensors_header);
  if (length < 2 || length > static_cast<std::uint64_t>(most)) {
    fail(ExitCode::corrupt_input,
         "{} is not a whole safetensors file: its header should have {} bytes, of {} bytes in the file at most {} may "
         "be header",
         path, length, file.bytes, std::max<std::int64_t>(most, 0));
  }
  return length_bytes + static_cast<std::int64_t>(length);
}

SafeTensorsHeader read_header(const Opened& file, const std::string& path) {
  const std::int64_t end = header_end(file, path);
  std::string text(to_size(end - length_bytes), '\0');
  if (read_at(file.descriptor, length_bytes, std::as_writable_bytes(std::span(text)), path) != text.size()) {
    fail(ExitCode::corrupt_input, "{}: cut off in its header", path);
  }
  return parse_safetensors_header(text, path, {end, file.bytes});
}

bool is_plain_file_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
           c == '.';
  };
  return !name.empty() && name.size() <= 255 && name.front() != '.' && std::ranges::all_of(name, plain);
}

/// Name of a tensor -> name of the file it lies in.
std::map<std::string, std::string> weight_map_of(const JsonObject& root, const std::string& path) {
  const Json& json = root.value("weight_map");
  const JsonObject object(json, path, "weight_map");
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) object.refuse(fmt::format("has no name of a file for {}", quoted_name(name)));
    const std::string& file = value.get_ref<const std::string&>();
    if (!is_plain_file_name(file)) {
      object.refuse(
          fmt::format("says that {} lies in {}: that is no plain name of a file beside it (letters, digits, "
                      "'_', '-', '.')",
                      quoted_name(name), quoted_name(file)));
    }
    out.emplace(name, file);
  }
  if (out.empty()) object.refuse("is empty");
  return out;
}

void check_total(const JsonObject& root, const std::string& path, std::int64_t found) {
  if (!root.has("metadata")) return;
  const JsonObject metadata(root.value("metadata"), path, "metadata");
  if (!metadata.has("total_size") || metadata.count("total_size") == found) return;
  metadata.refuse("total_size", fmt::format("is {}, the tensors have {} bytes", metadata.count("total_size"), found));
}

/// Each tensor that was found lies where the index says, and each of the index was found.
class MapCheck {
 public:
  MapCheck(const std::string& index, const std::map<std::string, std::string>& map) : index_(index), map_(map) {}

  void take(const SafeTensor& tensor, const std::string& file) {
    const auto [before, fresh] = seen_.emplace(tensor.name, file);
    if (!fresh) refuse(tensor.name, fmt::format("lies in two shards, {} and {}", before->second, file));
    const auto entry = map_.find(tensor.name);
    if (entry == map_.end()) refuse(tensor.name, fmt::format("lies in {} and is not in weight_map", file));
    if (entry->second != file) misplaced_.emplace(tensor.name, file);
  }

  void end() const {
    for (const auto& [name, file] : misplaced_) {
      refuse(name, fmt::format("lies in {}, weight_map says in {}", file, map_.at(name)));
    }
    for (const auto& [name, file] : map_) {
      if (!seen_.contains(name)) refuse(name, fmt::format("should lie in {}, which does not have it", file));
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& problem) const {
    fail(ExitCode::corrupt_input, "{}: tensor {} {}", index_, quoted_name(name), problem);
  }

  const std::string& index_;
  const std::map<std::string, std::string>& map_;
  std::map<std::string, std::string> seen_, misplaced_;
};

}  // namespace

SafeTensors::SafeTensors(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    add_file(path);
  } else if (const std::string one = path + "/" + safetensors_file; fs::exists(one, ignored)) {
    add_file(one);
  } else if (const std::string index = path + "/" + safetensors_index_file; fs::exists(index, ignored)) {
    add_shards(index);
  } else {
    fail(ExitCode::corrupt_input, "there is neither {} nor {} in '{}'", safetensors_file, safetensors_index_file, path);
  }
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

void SafeTensors::add_file(const std::string& path) {
  Opened file = open_regular(path);
  SafeTensorsHeader header = read_header(file, path);
  for (SafeTensor& tensor : header.tensors) {
    tensor.file = files_.size();
    tensors_.push_back(std::move(tensor));
  }
  files_.push_back({path, std::move(file.descriptor), std::move(header.metadata)});
}

void SafeTensors::add_shards(const std::string& index) {
  const Json json = parse_json(read_file(index, largest_index), index, "the index of a model in shards");
  const JsonObject root(json, index, "");
  const auto map = weight_map_of(root, index);
  std::map<std::string, bool> added;
  MapCheck check(index, map);
  std::int64_t total = 0;
  for (const auto& [name, file] : map) {
    if (!added.emplace(file, true).second) continue;
    const std::size_t first = tensors_.size();
    add_file((fs::path(index).parent_path() / file).string());
    for (std::size_t i = first; i < tensors_.size(); ++i) {
      check.take(tensors_[i], file);
      total = checked_add(total, tensors_[i].size());
    }
  }
  check.end();
  check_total(root, index, total);
}

const SafeTensor* SafeTensors::find(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

void SafeTensors::read(const SafeTensor& tensor, std::int64_t offset, std::span<std::byte> out) const {
  const auto bytes = static_cast<std::int64_t>(out.size());
  require(offset >= 0 && bytes <= tensor.size() && offset <= tensor.size() - bytes,
          "bytes [{}, {}) of {} cannot be read: it has {}", offset, offset + bytes, place(tensor), tensor.size());
  const File& file = files_.at(tensor.file);
  if (read_at(file.descriptor, tensor.bytes.begin + offset, out, file.path) == out.size()) return;
  fail(ExitCode::corrupt_input, "{}: the file has become shorter since it was opened", place(tensor));
}

std::string SafeTensors::place(const SafeTensor& tensor) const {
  return fmt::format("{}: tensor {}", files_.at(tensor.file).path, quoted_name(tensor.name));
}

}  // namespace trireme
