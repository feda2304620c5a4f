#include "launcher/job/ranks_lock.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/error.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

bool has_open(const fs::path& process, const std::string& path) {
  std::error_code error;
  for (fs::directory_iterator entry(process / "fd", error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    if (fs::read_symlink(entry->path(), gone) == path) return true;
  }
  return false;
}

bool has_words(const fs::path& process, const std::string& words) {
  std::ifstream file(process / "cmdline", std::ios::binary);
  std::string line(1 << 17, '\0');
  // A process that ends now fails the reading, which must not throw: iterators on the stream would.
  file.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(file.gcount()));
  return line.find(words) != std::string::npos;
}

/// Whether a process is of this host, also where several hosts share a kernel (cluster/virtual): what runs on one that
/// is cut off must not be waited for.
bool is_here(const fs::path& process) {
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/ns/uts", error);
  const fs::path there = fs::read_symlink(process / "ns/uts", error);
  return error || here == there;
}

/// Calls `take` with each other process of this machine, by its folder in /proc, until it says yes.
template <class Take>
bool any_process(const Take& take) {
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const pid_t process = std::atoi(entry->path().filename().c_str());
    if (process > 0 && process != ::getpid() && take(process, entry->path())) return true;
  }
  return false;
}

}  // namespace

RanksLock::RanksLock(const std::string& job_folder) : path_(job_folder + "/ranks/lock") {
  for (const std::string& word : {std::string("rank-exec"), std::string("--log-dir")}) wrapper_ += word + '\0';
  wrapper_ += job_folder + "/start-";
  ::mkdir((job_folder + "/ranks").c_str(), 0700);
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) fail(ExitCode::storage, "cannot open the lock '{}': {}", path_, std::strerror(errno));
}

RanksLock::~RanksLock() { ::close(file_); }

bool RanksLock::try_take() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(file_, F_OFD_SETLK, &lock) == 0)
    return !any_process(
        [&](pid_t, const fs::path& process) { return has_words(process, wrapper_) && is_here(process); });
  if (errno == EAGAIN || errno == EACCES) return false;
  fail(ExitCode::storage, "cannot lock '{}': {}", path_, std::strerror(errno));
}

void RanksLock::let_inherit() {
  if (::fcntl(file_, F_SETFD, 0) == 0) return;
  fail(ExitCode::failure, "cannot hand on the lock '{}': {}", path_, std::strerror(errno));
}

void RanksLock::kill_holders() const {
  const std::string path = fs::canonical(path_).string();
  any_process([&](pid_t id, const fs::path& process) {
    if (has_open(process, path) || (has_words(process, wrapper_) && is_here(process))) ::kill(id, SIGKILL);
    return false;
  });
}

}  // namespace trireme
