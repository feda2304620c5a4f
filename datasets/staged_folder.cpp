#include "datasets/staged_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "datasets/format.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void storage_error(const char* action, const std::string& path, const std::string& reason) {
  fail(ExitCode::storage, "cannot {} {}: {}", action, path, reason);
}

void rename_or_fail(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) storage_error("rename a folder to", to, std::strerror(errno));
}

}  // namespace

bool is_dataset(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / "index.json", error)) return false;
  return read_file((folder / "index.json").string()).find(dataset_format) != std::string::npos;
}

StagedFolder::StagedFolder(const std::string& target, Existing existing, const StagedKind& kind)
    : existing_(existing), kind_(kind) {
  fs::path path = fs::absolute(target).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (target.empty() || !path.has_filename())
    fail(ExitCode::usage, "'{}' cannot be the folder of a {}", target, kind_.what);
  target_ = path.string();
  parent_ = path.parent_path().string();
  staging_ = fmt::format("{}/.{}.partial", parent_ == "/" ? "" : parent_, path.filename().string());
  replaced_ = fmt::format("{}/.{}.replaced", parent_ == "/" ? "" : parent_, path.filename().string());
  check_target();
  std::error_code error;
  fs::create_directories(parent_, error);
  if (error) storage_error("create the folder", parent_, error.message());
  lock();
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

void StagedFolder::check_target() const {
  std::error_code error;
  const auto status = fs::symlink_status(target_, error);
  if (!fs::exists(status)) return;
  if (fs::is_directory(status) && fs::is_empty(target_, error)) return;
  if (!fs::is_directory(status) || !kind_.is_one(target_)) {
    fail(ExitCode::usage, "{} exists and is not a {}: choose another {}", target_, kind_.what, kind_.option);
  }
  if (existing_ == Existing::refuse) {
    fail(ExitCode::usage, "the {} {} exists already: add --overwrite, or choose another {}", kind_.what, target_,
         kind_.option);
  }
}

void StagedFolder::lock() {
  for (;;) {
    if (::mkdir(staging_.c_str(), 0777) != 0 && errno != EEXIST)
      storage_error("create", staging_, std::strerror(errno));
    const int fd = ::open(staging_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0) storage_error("open", staging_, std::strerror(errno));
    // File systems without locks answer otherwise; there two imports at once are the user's own care.
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd);
      fail(ExitCode::usage, "another {} into {} is running: wait for it, or choose another {}", kind_.action, target_,
           kind_.option);
    }
    struct stat locked {
    }, named{};
    const bool same = ::fstat(fd, &locked) == 0 && ::stat(staging_.c_str(), &named) == 0 &&
                      locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
    if (same) {
      lock_ = fd;
      break;
    }
    ::close(fd);  // its former owner published or removed it between open and lock
  }
  for (const auto& leftover : fs::directory_iterator(staging_)) fs::remove_all(leftover.path());
  fs::remove_all(replaced_);
}

void StagedFolder::exchange_with_target() {
  if (::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
    storage_error("exchange the old folder with the new one at", target_, std::strerror(errno));
  }
  // A file system that cannot exchange (NFS): for an instant there is no folder under the name, never half of one.
  rename_or_fail(target_, replaced_);
  rename_or_fail(staging_, target_);
}

void StagedFolder::publish() {
  sync_folder(staging_);
  check_target();
  std::error_code ignored;
  if (existing_ == Existing::replace && kind_.is_one(target_)) {
    exchange_with_target();
  } else {
    rename_or_fail(staging_, target_);
  }
  sync_folder(parent_);
  fs::remove_all(staging_, ignored);
  fs::remove_all(replaced_, ignored);
}

}  // namespace trireme
