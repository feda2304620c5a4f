// The bytes of checkpoint files: which belong to pieces and which to the structure around them, and reading them by
// blocks with a checksum on the way. Shared by writer, reader and verification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/io/byte_range.hpp"
#include "core/io/descriptor.hpp"
#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// Hashed and written or read while it is in a core's own cache.
inline constexpr std::size_t checkpoint_block = std::size_t{1} << 20;

ByteRange bytes_of(const SavedTensor& tensor, const SavedPiece& piece);
/// The pieces of each file of the manifest, in order.
std::map<std::string, std::vector<ByteRange>> ranges_of_files(const CheckpointManifest& manifest);

/// A file of a checkpoint, open for reading.
struct OpenedFile {
  std::string name;  ///< In messages.
  Descriptor descriptor;
  std::int64_t bytes = 0;
};

/// Opens a regular file, never through a link; corrupt_input where it is missing or something else, storage where the
/// system cannot open it. Messages call it `name`.
OpenedFile open_checkpoint_file(const std::string& path, const std::string& name);

/// Hears how many more bytes were read.
using OnBytes = std::function<void(std::int64_t)>;

/// What to do with the bytes of a piece while they are checked.
struct Reading {
  ByteRange wanted;  ///< Of the file: these go to `out`.
  std::byte* out = nullptr;
  OnBytes on_bytes;
};

/// Checksum of the bytes of all ranges. corrupt_input where the file ends before a range does.
Hash128 hash_ranges(const OpenedFile& file, std::span<const ByteRange> ranges, const OnBytes& on_bytes = {});
/// Reads what lies around `pieces`; corrupt_input where its checksum is not that of the manifest.
void check_structure(const OpenedFile& file, const Hash128& structure, std::span<const ByteRange> pieces,
                     const OnBytes& on_bytes = {});
/// Reads a whole piece and copies what is wanted of it; corrupt_input where its checksum is not that of the manifest.
void read_piece(const OpenedFile& file, const SavedTensor& tensor, const SavedPiece& piece, const Reading& reading);

}  // namespace trireme
