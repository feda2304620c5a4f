#include "launcher/run/checkpoint_reader.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "launcher/run/checkpoint_bytes.hpp"
#include "launcher/run/checkpoint_json.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_open_files = 64;

OpenedFile open_in(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  return open_checkpoint_file(path, path);
}

}  // namespace

/// What is derived from the manifest, and the files that are open: a thousand ranks' files are more than a process may
/// have open at once.
struct CheckpointReader::Files {
  std::map<std::string, std::vector<ByteRange>> pieces;
  std::map<std::string, std::size_t> tensors;  ///< By label.
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const OpenedFile>> opened;

  std::shared_ptr<const OpenedFile> open(const std::string& folder, const std::string& name) {
    const std::lock_guard guard(mutex);
    if (const auto it = opened.find(name); it != opened.end()) return it->second;
    if (opened.size() >= most_open_files) opened.clear();  // those in use stay open until they are not
    auto file = std::make_shared<const OpenedFile>(open_in(folder, name));
    opened.emplace(name, file);
    return file;
  }
};

CheckpointManifest read_manifest(const std::string& folder) {
  const OpenedFile file = open_in(folder, manifest_file);
  if (file.bytes > largest_manifest) {
    fail(ExitCode::corrupt_input, "{} is no manifest of a checkpoint: it has {} bytes, more than {}", file.name,
         file.bytes, largest_manifest);
  }
  std::string text(to_size(file.bytes), '\0');
  text.resize(read_at(file.descriptor, 0, std::as_writable_bytes(std::span(text)), file.name));
  CheckpointManifest manifest = CheckpointManifest::parse(text, file.name);
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (const std::string name = checkpoint_name(manifest.step); path.filename() != name) {
    fail(ExitCode::corrupt_input,
         "{} is that of {}: it came from another checkpoint, or the folder was renamed (give it its old name)",
         file.name, name);
  }
  return manifest;
}

CheckpointReader::CheckpointReader(const std::string& folder)
    : folder_(folder), manifest_(read_manifest(folder)), files_(std::make_unique<Files>()) {
  for (const auto& file : manifest_.files) {
    const OpenedFile found = open_in(folder_, file.name);
    if (found.bytes == file.bytes) continue;
    fail(ExitCode::corrupt_input, "{}: has {} bytes where {} were written", found.name, found.bytes, file.bytes);
  }
  files_->pieces = ranges_of_files(manifest_);
  for (std::size_t i = 0; i < manifest_.tensors.size(); ++i) files_->tensors.emplace(manifest_.tensors[i].label(), i);
}

CheckpointReader::CheckpointReader(CheckpointReader&&) noexcept = default;
CheckpointReader& CheckpointReader::operator=(CheckpointReader&&) noexcept = default;
CheckpointReader::~CheckpointReader() = default;

const SavedTensor* CheckpointReader::find(const std::string& plane, const std::string& name) const {
  const auto it = files_->tensors.find(plane + "/" + name);
  return it != files_->tensors.end() ? &manifest_.tensors[it->second] : nullptr;
}

void CheckpointReader::read(const SavedTensor& tensor, std::int64_t first, std::int64_t count, void* out) const {
  const std::int64_t elements = tensor.shape.elements();
  require(first >= 0 && count >= 0 && first <= elements - count, "elements [{}, {}) of {} cannot be read: it has {}",
          first, first + count, tensor.label(), elements);
  const auto width = static_cast<std::int64_t>(size_of(tensor.dtype));
  auto piece = std::ranges::upper_bound(tensor.pieces, first, {}, &SavedPiece::first);
  if (piece != tensor.pieces.begin()) --piece;
  for (; piece != tensor.pieces.end() && piece->first < first + count; ++piece) {
    const std::int64_t from = std::max(first, piece->first);
    const std::int64_t to = std::min(first + count, piece->first + piece->count);
    const std::int64_t begin = piece->offset + (from - piece->first) * width;
    read_piece(*files_->open(folder_, piece->file), tensor, *piece,
               {.wanted = {begin, begin + (to - from) * width},
                .out = static_cast<std::byte*>(out) + (from - first) * width,
                .on_bytes = {}});
  }
}

void CheckpointReader::check_structure(const SavedFile& file) const {
  trireme::check_structure(*files_->open(folder_, file.name), file.structure, files_->pieces.at(file.name));
}

void CheckpointReader::check_piece(const SavedTensor& tensor, const SavedPiece& piece) const {
  read_piece(*files_->open(folder_, piece.file), tensor, piece, {});
}

}  // namespace trireme
