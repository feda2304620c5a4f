#include "launcher/run/checkpoint_manifest.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "core/base/error.hpp"
#include "launcher/run/checkpoint_json.hpp"

namespace trireme {
namespace {

constexpr std::int64_t most_ranks = 1 << 20;
constexpr std::string_view name_prefix = "step_";
constexpr const char* what = "the manifest of a checkpoint";

Json encode(const CheckpointManifest& manifest) {
  Json files = Json::array(), tensors = Json::array();
  for (const auto& file : manifest.files) files.push_back(encode(file));
  for (const auto& tensor : manifest.tensors) tensors.push_back(encode(tensor));
  return {{"format", checkpoint_format}, {"version", checkpoint_version}, {"step", manifest.step},
          {"samples", manifest.samples}, {"ranks", manifest.ranks},       {"trireme", manifest.version},
          {"created", manifest.created}, {"data", manifest.data},         {"options", manifest.options},
          {"trainer", manifest.trainer}, {"files", std::move(files)},     {"tensors", std::move(tensors)}};
}

void check_version(const JsonObject& root) {
  if (root.text("format") != checkpoint_format) root.refuse("format", fmt::format("is not \"{}\"", checkpoint_format));
  const std::int64_t version = root.count("version");
  if (version < 1 || version > checkpoint_version) {
    root.refuse("version",
                fmt::format("is {}, this program reads 1 to {}: use a newer one", version, checkpoint_version));
  }
}

/// Any byte that differs from what was written is found here: in a value by the checksum, in the white space or the
/// spelling by writing the text anew. Takes the checksum out of the values.
void check_text(const std::string& text, const std::string& path, Json& json) {
  const Hash128 stated = JsonObject(json, path, "").hash("checksum");
  if (dump_json(json) + "\n" != text) {
    fail(ExitCode::corrupt_input, "{} is not as it was written: its values written anew give another text", path);
  }
  json.erase("checksum");
  const Hash128 found = hash_text(dump_json(json));
  if (found != stated) {
    fail(ExitCode::corrupt_input, "{} is damaged: its checksum is {}, it says {}", path, found.hex(), stated.hex());
  }
}

/// Where the pieces of a file lie, to find those that overlap.
struct Extent {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  const SavedTensor* tensor = nullptr;
};

class Relations {
 public:
  Relations(const CheckpointManifest& manifest, const std::string& path) : manifest_(manifest), path_(path) {}

  void check() {
    std::int64_t total = 0;
    for (const auto& file : manifest_.files) {
      if (__builtin_add_overflow(total, file.bytes, &total))
        refuse(file.name, "makes the whole larger than 2^63 bytes");
      if (!files_.try_emplace(file.name, Extents{file.bytes, {}}).second) refuse(file.name, "is listed twice");
    }
    std::set<std::string> labels;
    for (const auto& tensor : manifest_.tensors) {
      if (!labels.insert(tensor.label()).second) refuse(tensor.label(), "is listed twice");
      check_cover(tensor);
    }
    for (auto& [name, file] : files_) check_overlap(name, file.extents);
  }

 private:
  struct Extents {
    std::int64_t bytes;
    std::vector<Extent> extents;
  };

  [[noreturn]] void refuse(const std::string& entry, const std::string& problem) const {
    fail(ExitCode::corrupt_input, "{}: {} {}", path_, entry, problem);
  }

  void check_cover(const SavedTensor& tensor) {
    std::int64_t next = 0;
    for (const auto& piece : tensor.pieces) {
      if (piece.first != next) {
        refuse(tensor.label(), fmt::format("has a piece from element {} where one from {} is due", piece.first, next));
      }
      next += piece.count;
      const auto file = files_.find(piece.file);
      if (file == files_.end()) refuse(tensor.label(), fmt::format("lies in {}, which is not listed", piece.file));
      const std::int64_t bytes = piece.count * static_cast<std::int64_t>(size_of(tensor.dtype));
      if (piece.offset > file->second.bytes || bytes > file->second.bytes - piece.offset) {
        refuse(tensor.label(), fmt::format("has {} bytes at {} of {}, which has {}", bytes, piece.offset, piece.file,
                                           file->second.bytes));
      }
      file->second.extents.push_back({piece.offset, piece.offset + bytes, &tensor});
    }
    if (next != tensor.shape.elements()) {
      refuse(tensor.label(), fmt::format("has {} elements, its pieces {}", tensor.shape.elements(), next));
    }
  }

  void check_overlap(const std::string& name, std::vector<Extent>& extents) const {
    std::ranges::sort(extents, {}, &Extent::begin);
    for (std::size_t i = 1; i < extents.size(); ++i) {
      if (extents[i].begin >= extents[i - 1].end) continue;
      refuse(name, fmt::format("holds {} and {} in the same bytes", extents[i - 1].tensor->label(),
                               extents[i].tensor->label()));
    }
  }

  const CheckpointManifest& manifest_;
  const std::string& path_;
  std::map<std::string, Extents> files_;
};

CheckpointManifest decode(const JsonObject& root) {
  CheckpointManifest manifest{.step = root.count("step"),
                              .samples = root.count("samples"),
                              .ranks = root.count("ranks"),
                              .version = root.text("trireme"),
                              .created = root.text("created"),
                              .data = root.text("data"),
                              .options = root.value("options"),
                              .trainer = root.value("trainer"),
                              .files = {},
                              .tensors = {}};
  if (manifest.ranks < 1 || manifest.ranks > most_ranks) {
    root.refuse("ranks", fmt::format("is {}, it must be from 1 to {}", manifest.ranks, most_ranks));
  }
  root.each("files", [&](const JsonObject& file) { manifest.files.push_back(decode_file(file)); });
  root.each("tensors", [&](const JsonObject& tensor) { manifest.tensors.push_back(decode_tensor(tensor)); });
  root.has_only(12);
  return manifest;
}

}  // namespace

std::string CheckpointManifest::to_text() const {
  Json json = encode(*this);
  json["checksum"] = hash_text(dump_json(json)).hex();
  return dump_json(json) + "\n";
}

CheckpointManifest CheckpointManifest::parse(const std::string& text, const std::string& path) {
  Json json = parse_json(text, path, what);
  const JsonObject root(json, path, "");
  check_version(root);
  check_text(text, path, json);
  CheckpointManifest manifest = decode(root);
  Relations(manifest, path).check();
  return manifest;
}

std::string checkpoint_name(std::int64_t step) { return fmt::format("{}{:08}", name_prefix, step); }

std::int64_t checkpoint_step(std::string_view name) {
  if (!name.starts_with(name_prefix)) return -1;
  const std::string_view digits = name.substr(name_prefix.size());
  std::int64_t step = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  // Another spelling of the number (fewer zeros, a sign) is another name.
  return error == std::errc{} && end == digits.data() + digits.size() && step >= 0 && checkpoint_name(step) == name
             ? step
             : -1;
}

}  // namespace trireme
