// A library for LD_PRELOAD that stands between a program and its files. It sees every call that changes something below
// the folder TRIREME_SHIM_ROOT (an absolute path without links), numbers the calls from 1, and as the environment says
//   TRIREME_SHIM_JOURNAL=FILE   appends each with its bytes to FILE (records of io_journal.hpp);
//   TRIREME_SHIM_DIE_AT=N       ends the process with status 137 before the N-th; with TRIREME_SHIM_HALF=1, where that
//   is
//                               a write, after half of its bytes;
//   TRIREME_SHIM_FAIL_AT=N      lets the N-th fail, with TRIREME_SHIM_LASTING=1 all from there on, by
//   TRIREME_SHIM_ERROR=...      EIO, ENOSPC, EINTR, or `short`: a write takes half of its bytes;
//   TRIREME_SHIM_NO_EXCHANGE=1  is a file system that cannot exchange two names.
// A lasting ENOSPC is a full disk: what needs no space (close, unlink, rmdir) goes on working.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>
#include <cstring>
#include <string>

#include "tests/support/io_operation.hpp"

namespace {

using trireme::IoKind;
using trireme::IoRecord;
using namespace trireme::shim;

mode_t mode_argument(int flags, va_list arguments) {
  const bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return has_mode ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

struct OpenCall {
  int folder;
  const char* path;
  int flags;
  mode_t mode;
};

int open_file(const OpenCall& call) {
  static const auto real = next<int(int, const char*, int, ...)>("openat");
  const std::string path = watched(call.folder, call.path);
  if (path.empty()) return real(call.folder, call.path, call.flags, call.mode);
  Operation operation(IoKind::open, path);
  struct stat before {};
  const bool existed = ::fstatat(call.folder, call.path, &before, 0) == 0;
  operation.record().created = !existed && (call.flags & O_CREAT) != 0 ? 1 : 0;
  operation.record().truncated = existed && (call.flags & O_TRUNC) != 0 ? 1 : 0;
  return static_cast<int>(operation.run([&] { return real(call.folder, call.path, call.flags, call.mode); }));
}

/// Two names of a call that moves one to the other.
struct Names {
  int folder;
  const char* path;
  int other_folder;
  const char* other;
};

template <class Call>
int move(IoKind kind, const Names& names, const Call& call) {
  const std::string path = watched(names.folder, names.path);
  const std::string other = watched(names.other_folder, names.other);
  if (path.empty() && other.empty()) return call();
  return static_cast<int>(Operation(kind, path, other).run(call));
}

template <class Call>
int change(IoKind kind, const std::string& path, const Call& call) {
  return path.empty() ? call() : static_cast<int>(Operation(kind, path).run(call));
}

template <class Call>
int resize(int descriptor, off64_t length, const Call& call) {
  const std::string path = watched(descriptor);
  if (path.empty()) return call();
  Operation operation(IoKind::resize, path);
  operation.record().length = length;
  return static_cast<int>(operation.run(call));
}

template <class Call>
ssize_t write_at(int descriptor, const void* data, std::size_t bytes, const Call& call) {
  const std::string path = watched(descriptor);
  if (path.empty()) return call(bytes);
  Operation operation(IoKind::write, path);
  const bool appends = (::fcntl(descriptor, F_GETFL) & O_APPEND) != 0;
  operation.record().offset = ::lseek(descriptor, 0, SEEK_CUR);
  if (appends) {
    struct stat facts {};
    ::fstat(descriptor, &facts);
    operation.record().offset = facts.st_size;
  }
  return operation.write(static_cast<const char*>(data), bytes, call);
}

struct Span {
  int descriptor;
  const void* data;
  std::size_t bytes;
  off64_t offset;
};

ssize_t write_span(const Span& span) {
  static const auto real = next<ssize_t(int, const void*, std::size_t, off64_t)>("pwrite64");
  const auto call = [&](std::size_t bytes) { return real(span.descriptor, span.data, bytes, span.offset); };
  const std::string path = watched(span.descriptor);
  if (path.empty()) return call(span.bytes);
  Operation operation(IoKind::write, path);
  operation.record().offset = span.offset;
  return operation.write(static_cast<const char*>(span.data), span.bytes, call);
}

/// Room for [offset, offset + length); modes other than 0 change no size that is modelled.
struct Room {
  int descriptor;
  int mode;
  off64_t offset;
  off64_t length;
};

int make_room(const Room& room) {
  static const auto real = next<int(int, int, off64_t, off64_t)>("fallocate64");
  const auto call = [&] { return real(room.descriptor, room.mode, room.offset, room.length); };
  const std::string path = watched(room.descriptor);
  if (path.empty()) return call();
  Operation operation(IoKind::extend, path);
  operation.record().length = room.mode == 0 ? room.offset + room.length : 0;
  return static_cast<int>(operation.run(call));
}

/// posix_fallocate gives its error as its result.
int make_room_by_number(const Room& room) {
  const int kept = errno;
  const int error = make_room(room) == 0 ? 0 : errno;
  errno = kept;
  return error;
}

int remove_name(int folder, const char* path, int flags) {
  static const auto real = next<int(int, const char*, int)>("unlinkat");
  const IoKind kind = (flags & AT_REMOVEDIR) != 0 ? IoKind::rmdir : IoKind::unlink;
  return change(kind, watched(folder, path), [&] { return real(folder, path, flags); });
}

}  // namespace

extern "C" {

/// Called by a program, found through dlsym, to say in the journal how far it is.
void io_shim_mark(const char* text);
void io_shim_mark(const char* text) {
  if (settings().journal < 0) return;
  IoRecord record;
  record.kind = IoKind::mark;
  record.other_bytes = static_cast<std::uint32_t>(std::strlen(text));
  const std::string whole = std::string(reinterpret_cast<const char*>(&record), sizeof record) + text;
  if (::syscall(SYS_write, settings().journal, whole.data(), whole.size()) < 0) ::_exit(99);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_argument(flags, arguments);
  va_end(arguments);
  return open_file({AT_FDCWD, path, flags, mode});
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_argument(flags, arguments);
  va_end(arguments);
  return open_file({AT_FDCWD, path, flags, mode});
}

int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_argument(flags, arguments);
  va_end(arguments);
  return open_file({folder, path, flags, mode});
}

int openat64(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_argument(flags, arguments);
  va_end(arguments);
  return open_file({folder, path, flags, mode});
}

int creat(const char* path, mode_t mode) { return open_file({AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode}); }
int creat64(const char* path, mode_t mode) { return creat(path, mode); }
int __open_2(const char* path, int flags) { return open_file({AT_FDCWD, path, flags, 0}); }
int __open64_2(const char* path, int flags) { return open_file({AT_FDCWD, path, flags, 0}); }
int __openat_2(int folder, const char* path, int flags) { return open_file({folder, path, flags, 0}); }
int __openat64_2(int folder, const char* path, int flags) { return open_file({folder, path, flags, 0}); }

int close(int descriptor) {
  static const auto real = next<int(int)>("close");
  const std::string path = watched(descriptor);
  if (path.empty()) return real(descriptor);
  Operation operation(IoKind::close, path);
  // Also a close that fails has closed.
  const int result = real(descriptor);
  return static_cast<int>(operation.run([&] { return result; }));
}

ssize_t write(int descriptor, const void* data, std::size_t bytes) {
  static const auto real = next<ssize_t(int, const void*, std::size_t)>("write");
  return write_at(descriptor, data, bytes, [&](std::size_t part) { return real(descriptor, data, part); });
}

ssize_t writev(int descriptor, const struct iovec* pieces, int count) {
  static const auto real = next<ssize_t(int, const struct iovec*, int)>("writev");
  if (watched(descriptor).empty()) return real(descriptor, pieces, count);
  std::string whole;
  for (int i = 0; i < count; ++i) whole.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return ::write(descriptor, whole.data(), whole.size());
}

ssize_t pwrite(int descriptor, const void* data, std::size_t bytes, off_t offset) {
  return write_span({descriptor, data, bytes, offset});
}

ssize_t pwrite64(int descriptor, const void* data, std::size_t bytes, off64_t offset) {
  return write_span({descriptor, data, bytes, offset});
}

int ftruncate(int descriptor, off_t length) noexcept {
  static const auto real = next<int(int, off_t)>("ftruncate");
  return resize(descriptor, length, [&] { return real(descriptor, length); });
}

int ftruncate64(int descriptor, off64_t length) noexcept { return ::ftruncate(descriptor, length); }

int posix_fallocate(int descriptor, off_t offset, off_t length) {
  return make_room_by_number({descriptor, 0, offset, length});
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t length) {
  return make_room_by_number({descriptor, 0, offset, length});
}

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  return make_room({descriptor, mode, offset, length});
}

int fallocate64(int descriptor, int mode, off64_t offset, off64_t length) {
  return make_room({descriptor, mode, offset, length});
}

int fsync(int descriptor) {
  static const auto real = next<int(int)>("fsync");
  return change(IoKind::sync, watched(descriptor), [&] { return real(descriptor); });
}

int fdatasync(int descriptor) {
  static const auto real = next<int(int)>("fdatasync");
  return change(IoKind::sync, watched(descriptor), [&] { return real(descriptor); });
}

int rename(const char* path, const char* other) noexcept {
  static const auto real = next<int(const char*, const char*)>("rename");
  return move(IoKind::rename, {AT_FDCWD, path, AT_FDCWD, other}, [&] { return real(path, other); });
}

int renameat(int folder, const char* path, int other_folder, const char* other) noexcept {
  static const auto real = next<int(int, const char*, int, const char*)>("renameat");
  const Names names{folder, path, other_folder, other};
  return move(IoKind::rename, names, [&] { return real(folder, path, other_folder, other); });
}

// The fifth argument, the flags, is taken by hand.
int renameat2_of_shim(int folder, const char* path, int other_folder, ...) __asm__("renameat2");
int renameat2_of_shim(int folder, const char* path, int other_folder, ...) {
  va_list arguments;
  va_start(arguments, other_folder);
  const char* const other = va_arg(arguments, const char*);
  const unsigned flags = va_arg(arguments, unsigned);
  va_end(arguments);
  const bool exchanges = (flags & RENAME_EXCHANGE) != 0;
  return move(exchanges ? IoKind::exchange : IoKind::rename, {folder, path, other_folder, other}, [&] {
    if (!exchanges || settings().no_exchange == 0) {
      return static_cast<int>(::syscall(SYS_renameat2, folder, path, other_folder, other, flags));
    }
    errno = EINVAL;
    return -1;
  });
}

int link(const char* path, const char* other) noexcept {
  static const auto real = next<int(const char*, const char*)>("link");
  return move(IoKind::link, {AT_FDCWD, path, AT_FDCWD, other}, [&] { return real(path, other); });
}

int unlink(const char* path) noexcept { return remove_name(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char* path, int flags) noexcept { return remove_name(folder, path, flags); }
int rmdir(const char* path) noexcept { return remove_name(AT_FDCWD, path, AT_REMOVEDIR); }

int remove(const char* path) noexcept {
  struct stat facts {};
  const bool is_folder = ::lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
  return remove_name(AT_FDCWD, path, is_folder ? AT_REMOVEDIR : 0);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = next<int(const char*, mode_t)>("mkdir");
  return change(IoKind::mkdir, watched(AT_FDCWD, path), [&] { return real(path, mode); });
}

int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  static const auto real = next<int(int, const char*, mode_t)>("mkdirat");
  return change(IoKind::mkdir, watched(folder, path), [&] { return real(folder, path, mode); });
}

}  // extern "C"
