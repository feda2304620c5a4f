#include "launcher/run/checkpoint_bytes.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

/// Fills `out` from the file; `what` is the part of it that is read, for messages.
void read_block(const OpenedFile& file, std::int64_t offset, std::span<std::byte> out, const std::string& what) {
  const std::size_t got = read_at(file.descriptor, offset, out, what);
  if (got == out.size()) return;
  fail(ExitCode::corrupt_input, "{}: cut off: bytes [{}, {}) are wanted, the file ends at {}", what, offset,
       offset + static_cast<std::int64_t>(out.size()), offset + static_cast<std::int64_t>(got));
}

void compare(const Hash128& found, const Hash128& wanted, const std::string& what) {
  if (found == wanted) return;
  fail(ExitCode::corrupt_input, "{}: checksum differs: {} of the bytes, {} in the manifest", what, found.hex(),
       wanted.hex());
}

[[noreturn]] void open_failed(const std::string& name, int error) {
  if (error == ENOENT || error == ENOTDIR) fail(ExitCode::corrupt_input, "{}: is missing", name);
  if (error == ELOOP) fail(ExitCode::corrupt_input, "{}: is a symbolic link, not a regular file", name);
  fail(ExitCode::storage, "{}: cannot be opened: {}", name, std::strerror(error));
}

}  // namespace

ByteRange bytes_of(const SavedTensor& tensor, const SavedPiece& piece) {
  return {piece.offset, piece.offset + piece.count * static_cast<std::int64_t>(size_of(tensor.dtype))};
}

std::map<std::string, std::vector<ByteRange>> ranges_of_files(const CheckpointManifest& manifest) {
  std::map<std::string, std::vector<ByteRange>> out;
  for (const auto& file : manifest.files) out[file.name];
  for (const auto& tensor : manifest.tensors) {
    for (const auto& piece : tensor.pieces) out[piece.file].push_back(bytes_of(tensor, piece));
  }
  for (auto& [name, ranges] : out) std::ranges::sort(ranges, {}, &ByteRange::begin);
  return out;
}

OpenedFile open_checkpoint_file(const std::string& path, const std::string& name) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  OpenedFile file{name, Descriptor(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)), 0};
  if (!file.descriptor) open_failed(name, errno);
  struct stat facts {};
  if (::fstat(file.descriptor.get(), &facts) != 0) open_failed(name, errno);
  if (!S_ISREG(facts.st_mode)) fail(ExitCode::corrupt_input, "{}: is not a regular file", name);
  file.bytes = facts.st_size;
  // Pieces are read from front to back: the kernel may fetch far ahead. Asking for single ranges (WILLNEED) is slower.
  ::posix_fadvise(file.descriptor.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return file;
}

Hash128 hash_ranges(const OpenedFile& file, std::span<const ByteRange> ranges, const OnBytes& on_bytes) {
  Hasher hasher;
  std::vector<std::byte> buffer(checkpoint_block);
  for (const auto& range : ranges) {
    for (std::int64_t at = range.begin; at < range.end;) {
      const std::size_t some = std::min(buffer.size(), static_cast<std::size_t>(range.end - at));
      read_block(file, at, {buffer.data(), some}, file.name);
      hasher.update(buffer.data(), some);
      at += static_cast<std::int64_t>(some);
      if (on_bytes) on_bytes(static_cast<std::int64_t>(some));
    }
  }
  return hasher.digest();
}

void check_structure(const OpenedFile& file, const Hash128& structure, std::span<const ByteRange> pieces,
                     const OnBytes& on_bytes) {
  compare(hash_ranges(file, structure_ranges(pieces, file.bytes), on_bytes), structure,
          file.name + ": structure (the bytes around the tensors)");
}

void read_piece(const OpenedFile& file, const SavedTensor& tensor, const SavedPiece& piece, const Reading& reading) {
  const std::string what =
      fmt::format("{}: {}: elements [{}, {})", file.name, tensor.label(), piece.first, piece.first + piece.count);
  const ByteRange range = bytes_of(tensor, piece), wanted = reading.wanted;
  Hasher hasher;
  std::vector<std::byte> buffer;
  for (std::int64_t at = range.begin; at < range.end;) {
    const std::int64_t end = std::min(range.end, at + static_cast<std::int64_t>(checkpoint_block));
    const auto some = static_cast<std::size_t>(end - at);
    const std::int64_t from = std::max(at, wanted.begin), to = std::min(end, wanted.end);
    const bool whole = from == at && to == end;
    if (!whole) buffer.resize(std::max(buffer.size(), some));
    std::byte* const block = whole ? reading.out + (at - wanted.begin) : buffer.data();
    read_block(file, at, {block, some}, what);
    hasher.update(block, some);
    if (!whole && from < to) std::copy_n(block + (from - at), to - from, reading.out + (from - wanted.begin));
    if (reading.on_bytes) reading.on_bytes(end - at);
    at = end;
  }
  compare(hasher.digest(), piece.hash, what);
}

}  // namespace trireme
