#include "launcher/run/checkpoint_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/hdf5.hpp"
#include "core/io/hdf5_image.hpp"
#include "launcher/run/checkpoint_bytes.hpp"
#include "launcher/run/checkpoint_json.hpp"

namespace trireme {
namespace {

/// Measured on a disk of 2 GB/s: 8 to 32 MiB give 1.4 times the rate of writing all and then syncing.
constexpr std::int64_t write_out_bytes = std::int64_t{16} << 20;

/// A piece and its place in the file.
struct Placed {
  const PieceSource* source = nullptr;
  SavedPiece piece;
  std::int64_t bytes = 0;
};

void check(const PieceSource& source, const std::string& path) {
  require(is_plain_text(source.plane) && source.plane.find('/') == std::string::npos && is_plain_text(source.name),
          "'{}' of the plane '{}' is no name that {} can hold: it must be UTF-8 without control characters",
          source.name, source.plane, path);
  const std::int64_t elements = source.shape.elements();
  require(source.first >= 0 && source.count >= 0 && source.first <= elements - source.count,
          "elements [{}, {}) of {}/{} cannot be saved: its shape is {}", source.first, source.first + source.count,
          source.plane, source.name, source.shape.text());
  require(source.data != nullptr || source.ask || source.count == 0, "no data of {}/{} to save", source.plane,
          source.name);
}

/// "param.0.weight". A '/' would be a folder inside the file; written as in a web address it stays a name of its own.
std::string dataset_name(const PieceSource& source, std::set<std::string>& taken) {
  std::string name = source.plane + ".";
  for (const char c : source.name) {
    if (c == '/' || c == '%') {
      name += c == '/' ? "%2F" : "%25";
    } else {
      name += c;
    }
  }
  const std::string first = name;
  for (int copy = 2; !taken.insert(name).second; ++copy) name = fmt::format("{}@{}", first, copy);
  return name;
}

Descriptor create_file(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) fail(ExitCode::storage, "cannot create '{}': {}", path, std::strerror(errno));
  return file;
}

class Writer {
 public:
  Writer(const std::string& path, std::int64_t step)
      : path_(path), file_(create_file(path)), layout_(hdf5::File::lay_out(image_, path)) {
    layout_.write_attributes(
        "/", std::vector<hdf5::Attribute>{
                 {"format", std::string(checkpoint_format)}, {"version", checkpoint_version}, {"step", step}});
  }

  WrittenFile write(std::span<const PieceSource> pieces) {
    std::set<std::string> taken;
    for (const auto& source : pieces) place(source, dataset_name(source, taken));
    reserve_space();
    for (auto& placed : placed_) {
      placed.piece.hash = write_elements(placed);
      describe(placed);
    }
    layout_.close();
    const Hash128 structure = write_structure();
    sync_file(file_, path_);
    check_structure(structure);
    return {{file_name(), image_.bytes(), structure}, tensors()};
  }

 private:
  std::string file_name() const { return std::filesystem::path(path_).filename().string(); }

  void place(const PieceSource& source, const std::string& dataset) {
    check(source, path_);
    const std::int64_t offset = layout_.create_dataset(dataset, source.dtype, Shape{source.count});
    placed_.push_back({.source = &source,
                       .piece = {.first = source.first,
                                 .count = source.count,
                                 .file = file_name(),
                                 .dataset = dataset,
                                 .offset = offset,
                                 .hash = {}},
                       .bytes = checked_mul(source.count, static_cast<std::int64_t>(size_of(source.dtype)))});
  }

  void describe(const Placed& placed) {
    const PieceSource& source = *placed.source;
    const auto extents = source.shape.extents();
    layout_.write_attributes(
        placed.piece.dataset,
        std::vector<hdf5::Attribute>{{"plane", source.plane},
                                     {"name", source.name},
                                     {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                                     {"first", source.first},
                                     {"xxh3_128", placed.piece.hash.hex()}});
  }

  void reserve_space() const {
    std::int64_t end = 0;
    for (const auto& placed : placed_) end = std::max(end, checked_add(placed.piece.offset, placed.bytes));
    reserve_bytes(file_, end, path_);
  }

  Hash128 write_elements(const Placed& placed) {
    Hasher hasher;
    std::vector<std::byte> buffer;
    for (std::int64_t done = 0; done < placed.bytes;) {
      const auto some = std::min(placed.bytes - done, static_cast<std::int64_t>(checkpoint_block));
      const auto block = block_of(*placed.source, {done, done + some}, buffer);
      hasher.update(block.data(), block.size());
      write_at(file_, placed.piece.offset + done, block, path_);
      done += some;
      start_disk(placed.piece.offset + done);
    }
    return hasher.digest();
  }

  static std::span<const std::byte> block_of(const PieceSource& source, ByteRange range,
                                             std::vector<std::byte>& buffer) {
    const std::size_t bytes = to_size(range.end - range.begin);
    if (source.data != nullptr) return {static_cast<const std::byte*>(source.data) + range.begin, bytes};
    buffer.resize(bytes);
    source.ask(range.begin, buffer);
    return buffer;
  }

  /// Sets the disk to work on what was written up to `end`, so that it has little left to do at the sync. Only a hint:
  /// what fails here fails there.
  void start_disk(std::int64_t end) {
    if (end - started_ < write_out_bytes) return;
    ::sync_file_range(file_.get(), started_, end - started_, SYNC_FILE_RANGE_WRITE);
    started_ = end;
  }

  std::vector<ByteRange> structure() const {
    std::vector<ByteRange> ranges;
    for (const auto& placed : placed_) {
      if (placed.bytes > 0) ranges.push_back({placed.piece.offset, placed.piece.offset + placed.bytes});
    }
    std::ranges::sort(ranges, {}, &ByteRange::begin);
    return structure_ranges(ranges, image_.bytes());
  }

  Hash128 write_structure() const {
    Hasher hasher;
    std::vector<std::byte> buffer;
    for (const auto& range : structure()) {
      buffer.resize(to_size(range.end - range.begin));
      image_.read(range.begin, buffer);
      hasher.update(buffer.data(), buffer.size());
      write_at(file_, range.begin, buffer, path_);
    }
    return hasher.digest();
  }

  void check_structure(const Hash128& wanted) {
    const OpenedFile back{path_, std::move(file_), image_.bytes()};
    const Hash128 found = hash_ranges(back, structure());
    if (found == wanted) return;
    fail(ExitCode::storage,
         "'{}' of {} bytes does not read back as it was written (checksum {}, not {}): is the disk failing?", path_,
         image_.bytes(), found.hex(), wanted.hex());
  }

  std::vector<SavedTensor> tensors() const {
    std::vector<SavedTensor> out;
    std::map<std::string, std::size_t> known;
    for (const auto& placed : placed_) {
      const PieceSource& source = *placed.source;
      SavedTensor tensor{source.plane, source.name, source.dtype, source.shape, {}};
      const auto [it, fresh] = known.try_emplace(tensor.label(), out.size());
      if (fresh) out.push_back(std::move(tensor));
      const SavedTensor& first = out[it->second];
      require(first.dtype == source.dtype && first.shape == source.shape, "{} is to be saved as {} {} and as {} {}",
              first.label(), name_of(first.dtype), first.shape.text(), name_of(source.dtype), source.shape.text());
      if (source.count > 0) out[it->second].pieces.push_back(placed.piece);
    }
    return out;
  }

  std::string path_;
  Descriptor file_;
  hdf5::FileImage image_;
  hdf5::File layout_;
  std::vector<Placed> placed_;
  std::int64_t started_ = 0;  ///< Bytes that the disk was set to work on.
};

}  // namespace

WrittenFile write_checkpoint_file(const std::string& path, std::int64_t step, std::span<const PieceSource> pieces) {
  const std::string name = std::filesystem::path(path).filename().string();
  require(is_plain_file_name(name), "'{}' is no name of a checkpoint file: use letters, digits, '_', '-', '.'", name);
  return Writer(path, step).write(pieces);
}

std::string WrittenFile::to_text() const {
  Json list = Json::array();
  for (const auto& tensor : tensors) list.push_back(encode(tensor));
  return Json{{"file", encode(file)}, {"tensors", std::move(list)}}.dump();
}

WrittenFile WrittenFile::from_text(const std::string& text) {
  const std::string path = "the message about a written file";
  const Json json = parse_json(text, path, "one");
  const JsonObject root(json, path, "");
  WrittenFile out;
  out.file = decode_file(JsonObject(root.value("file"), path, "file"));
  root.each("tensors", [&](const JsonObject& tensor) { out.tensors.push_back(decode_tensor(tensor)); });
  root.has_only(2);
  return out;
}

void merge_written(CheckpointManifest& manifest, std::span<const WrittenFile> files) {
  std::map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) known.emplace(manifest.tensors[i].label(), i);
  for (const auto& written : files) {
    manifest.files.push_back(written.file);
    for (const auto& tensor : written.tensors) {
      const auto [it, fresh] = known.try_emplace(tensor.label(), manifest.tensors.size());
      if (fresh) {
        manifest.tensors.push_back(tensor);
        continue;
      }
      SavedTensor& whole = manifest.tensors[it->second];
      if (whole.dtype != tensor.dtype || whole.shape != tensor.shape) {
        fail(ExitCode::disagree, "{} is {} of {} in {}, and {} of {} in the files before", tensor.label(),
             tensor.shape.text(), name_of(tensor.dtype), written.file.name, whole.shape.text(), name_of(whole.dtype));
      }
      whole.pieces.insert(whole.pieces.end(), tensor.pieces.begin(), tensor.pieces.end());
    }
  }
  for (auto& tensor : manifest.tensors) std::ranges::sort(tensor.pieces, {}, &SavedPiece::first);
}

}  // namespace trireme
