// Small whole files: read at once, written so that whatever instant the power goes the file is old and whole or new and
// whole. Failures of the file system (full, read-only, no permission) are Errors with ExitCode::storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace trireme {

class Descriptor;

/// Who may read a new file: its owner (0600), or everyone the umask lets (0644).
enum class FileAccess { owner_only, readable };

/// The whole text of `path`; ExitCode::storage where it cannot be read, corrupt_input where it has more than `most`
/// bytes (a device may have no end).
std::string read_file(const std::string& path, std::size_t most = std::numeric_limits<std::size_t>::max());

/// Replaces `path` by `text`: temporary file next to it, fsync, rename, fsync of the folder. On failure the old file is
/// untouched and the temporary one is gone.
void write_file_atomically(const std::string& path, std::string_view text, FileAccess access = FileAccess::owner_only);

/// Makes the entries of a folder (a rename, a new file) survive a power cut.
void sync_folder(const std::string& path);

/// Writes all of `text` to an open descriptor, whatever the pieces the system takes; `what` names the file in errors.
void write_all(int descriptor, std::string_view text, const std::string& what);
/// The same at a place of the file.
void write_at(const Descriptor& file, std::int64_t offset, std::span<const std::byte> data, const std::string& what);
/// Takes space for the first `bytes` of a file, where its file system can: a full disk shows before the work is done.
void reserve_bytes(const Descriptor& file, std::int64_t bytes, const std::string& what);
/// Returns when the bytes of the file are on the disk.
void sync_file(const Descriptor& file, const std::string& what);
/// Fills `out` from a place of the file and returns how much there was: less than asked for only where the file ends.
std::size_t read_at(const Descriptor& file, std::int64_t offset, std::span<std::byte> out, const std::string& what);

}  // namespace trireme
