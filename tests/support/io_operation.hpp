// The inside of io_shim.cpp: what the environment asks for, which paths are watched, and the one way every watched
// operation takes: it gets its number, is done, fails or is not lived to see, and is written into the journal.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string>

#include "tests/support/io_journal.hpp"

namespace trireme::shim {

inline long number_from(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? 0 : std::atol(text);
}

inline std::string text_from(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? "" : text;
}

struct Settings {
  std::string root = text_from("TRIREME_SHIM_ROOT");
  std::string error = text_from("TRIREME_SHIM_ERROR");
  long die_at = number_from("TRIREME_SHIM_DIE_AT");
  long half = number_from("TRIREME_SHIM_HALF");
  long fail_at = number_from("TRIREME_SHIM_FAIL_AT");
  long lasting = number_from("TRIREME_SHIM_LASTING");
  long no_exchange = number_from("TRIREME_SHIM_NO_EXCHANGE");
  int journal = -1;

  Settings() {
    const std::string file = text_from("TRIREME_SHIM_JOURNAL");
    if (!file.empty()) {
      const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
      journal = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, file.c_str(), flags, 0600));
    }
  }
  int number_of_error() const { return error == "ENOSPC" ? ENOSPC : error == "EINTR" ? EINTR : EIO; }
};

inline const Settings& settings() {
  // Never destroyed: libraries close their files while the process ends.
  static const Settings& values = *new Settings;
  return values;
}

/// The function of the C library that stands behind ours.
template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

/// `path` without "." and "..", as the journal names it; empty where it is not below the watched folder.
inline std::string below_root(const std::string& path) {
  const std::string& root = settings().root;
  if (root.empty() || path.empty() || path[0] != '/') return "";
  std::string clean;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      clean.resize(clean.empty() ? 0 : clean.rfind('/'));
    } else {
      clean += "/" + part;
    }
  }
  if (clean == root) return ".";
  return clean.starts_with(root + "/") ? clean.substr(root.size() + 1) : "";
}

/// Where an open descriptor leads now, also after renames; empty for what has no path.
inline std::string target_of(int descriptor) {
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  char target[PATH_MAX];
  const ssize_t bytes = ::readlink(link.c_str(), target, sizeof target);
  return bytes <= 0 ? "" : std::string(target, static_cast<std::size_t>(bytes));
}

inline std::string watched(int descriptor) { return settings().root.empty() ? "" : below_root(target_of(descriptor)); }

inline std::string watched(int folder, const char* path) {
  if (settings().root.empty() || path == nullptr) return "";
  if (path[0] == '/') return below_root(path);
  if (folder != AT_FDCWD) return below_root(target_of(folder) + "/" + path);
  char here[PATH_MAX];
  return ::getcwd(here, sizeof here) == nullptr ? "" : below_root(std::string(here) + "/" + path);
}

/// One numbered operation: does it, or what the environment wants in its place, and writes it down. One at a time, so
/// that the journal has the true order.
class Operation {
 public:
  Operation(IoKind kind, std::string path, std::string other = "")
      : path_(std::move(path)), other_(std::move(other)), guard_(mutex_) {
    record_.kind = kind;
    const Settings& wanted = settings();
    const long number = ++count_;
    dying_ = number == wanted.die_at;
    if (dying_ && !(wanted.half != 0 && kind == IoKind::write)) ::_exit(137);
    const bool needs_space = kind != IoKind::close && kind != IoKind::unlink && kind != IoKind::rmdir;
    const bool lasting = wanted.lasting != 0 && number > wanted.fail_at && (wanted.error != "ENOSPC" || needs_space);
    failing_ = wanted.fail_at > 0 && (number == wanted.fail_at || lasting);
  }

  IoRecord& record() { return record_; }

  /// `call` gives 0 or more, or -1 and errno.
  template <class Call>
  long run(const Call& call) {
    if (failing_ && settings().error != "short") return refuse();
    return finish(call());
  }

  /// `call(bytes)` writes the first of `data`; how many bytes it took goes into the journal with them.
  template <class Call>
  long write(const char* data, std::size_t bytes, const Call& call) {
    if (failing_ && settings().error != "short") return refuse();
    const bool halved = (failing_ || dying_) && bytes > 1;
    const long taken = call(halved ? bytes / 2 : bytes);
    if (dying_) ::_exit(137);
    record_.length = taken;
    data_ = data;
    record_.data_bytes = taken > 0 ? taken : 0;
    return finish(taken);
  }

 private:
  long refuse() {
    errno = settings().number_of_error();
    return finish(-1);
  }

  long finish(long result) {
    const int error = errno;
    record_.error = result < 0 ? error : 0;
    append();
    errno = error;
    return result;
  }

  void append() {
    if (settings().journal < 0) return;
    record_.path_bytes = static_cast<std::uint32_t>(path_.size());
    record_.other_bytes = static_cast<std::uint32_t>(other_.size());
    std::string text(reinterpret_cast<const char*>(&record_), sizeof record_);
    text += path_ + other_;
    text.append(data_, static_cast<std::size_t>(record_.data_bytes));
    if (::syscall(SYS_write, settings().journal, text.data(), text.size()) != static_cast<long>(text.size())) {
      ::_exit(99);  // a journal with gaps would prove nothing
    }
  }

  inline static std::mutex mutex_;
  inline static long count_ = 0;
  std::string path_;
  std::string other_;
  std::lock_guard<std::mutex> guard_;
  IoRecord record_;
  const char* data_ = "";
  bool dying_ = false;
  bool failing_ = false;
};

}  // namespace trireme::shim
