// POSIX calls behind file.hpp; each failure says what was done to which path and what the system answered.
#include "core/io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/descriptor.hpp"

namespace trireme {
namespace {

const char* advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; choose a folder you may write to";
    case ENOENT:
      return "; create its folder first";
    default:
      return "";
  }
}

[[noreturn]] void storage_error(const char* action, const std::string& path, int error) {
  fail(ExitCode::storage, "cannot {} '{}': {}{}", action, path, std::strerror(error), advice(error));
}

void write_temporary(const std::string& temporary, std::string_view text, mode_t mode) {
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file) storage_error("create", temporary, errno);
  write_all(file.get(), text, temporary);
  sync_file(file, temporary);
  if (file.close() != 0) storage_error("close", temporary, errno);
}

}  // namespace

std::string read_file(const std::string& path, std::size_t most) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    fail(ExitCode::storage, "cannot open '{}' for reading: {}", path, std::strerror(errno));
  }
  std::string text;
  char piece[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ExitCode::storage, "cannot read '{}': {}", path, std::strerror(errno));
    if (got == 0) return text;
    if (static_cast<std::size_t>(got) > most - text.size()) {
      fail(ExitCode::corrupt_input, "'{}' has more than {} bytes: it is not the kind of file that is wanted here", path,
           most);
    }
    text.append(piece, static_cast<std::size_t>(got));
  }
}

void write_all(int descriptor, std::string_view text, const std::string& what) {
  while (!text.empty()) {
    const ssize_t done = ::write(descriptor, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      fail(ExitCode::storage, "cannot write {} bytes of '{}': {}{}", text.size(), what, std::strerror(errno),
           advice(errno));
    }
    text.remove_prefix(static_cast<std::size_t>(done));
  }
}

void write_at(const Descriptor& file, std::int64_t offset, std::span<const std::byte> data, const std::string& what) {
  while (!data.empty()) {
    const ssize_t done = ::pwrite(file.get(), data.data(), data.size(), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int error = done < 0 ? errno : EIO;
      fail(ExitCode::storage, "cannot write bytes [{}, {}) of '{}': {}{}", offset,
           offset + static_cast<std::int64_t>(data.size()), what, std::strerror(error), advice(error));
    }
    data = data.subspan(static_cast<std::size_t>(done));
    offset += done;
  }
}

void reserve_bytes(const Descriptor& file, std::int64_t bytes, const std::string& what) {
  while (bytes > 0 && ::fallocate(file.get(), 0, 0, bytes) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return;
    fail(ExitCode::storage, "cannot reserve {} bytes for '{}': {}{}", bytes, what, std::strerror(errno), advice(errno));
  }
}

void sync_file(const Descriptor& file, const std::string& what) {
  while (::fsync(file.get()) != 0) {
    if (errno != EINTR) storage_error("write to disk", what, errno);
  }
}

std::size_t read_at(const Descriptor& file, std::int64_t offset, std::span<std::byte> out, const std::string& what) {
  std::size_t done = 0;
  while (done < out.size()) {
    const auto at = offset + static_cast<std::int64_t>(done);
    const ssize_t got = ::pread(file.get(), out.data() + done, out.size() - done, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fail(ExitCode::storage, "cannot read bytes [{}, {}) of '{}': {}", at,
           offset + static_cast<std::int64_t>(out.size()), what, std::strerror(errno));
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) storage_error("open folder", path, errno);
  while (::fsync(folder.get()) != 0) {
    // Some network file systems refuse fsync on folders (EINVAL); there the rename itself is what they promise.
    if (errno == EINVAL) return;
    if (errno != EINTR) storage_error("write to disk", path, errno);
  }
}

void write_file_atomically(const std::string& path, std::string_view text, FileAccess access) {
  // The process id keeps two writers of one path from sharing a temporary file.
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  try {
    write_temporary(temporary, text, access == FileAccess::owner_only ? 0600 : 0666);
    if (::rename(temporary.c_str(), path.c_str()) != 0) storage_error("rename a new file to", path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(std::filesystem::path(path).parent_path().string());
}

}  // namespace trireme
