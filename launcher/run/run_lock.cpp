// Locks of the open file (F_OFD_SETLK): like flock() they end with the last descriptor, and unlike it somebody can ask
// for the holder without taking them.
#include "launcher/run/run_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/io/json.hpp"

namespace trireme {
namespace {

std::string lock_file(const std::string& folder) { return folder + "/lock"; }

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// What file systems without locks answer (NFS without its lock service, Lustre mounted without -o flock).
bool has_no_locks(int error) { return error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL; }

std::string user_name() {
  for (const char* variable : {"USER", "LOGNAME"}) {
    if (const char* name = std::getenv(variable)) return name;
  }
  return fmt::format("{}", ::geteuid());
}

/// As a list of words, short enough that the whole text is one write.
Json command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  Json words = Json::array();
  std::size_t bytes = 0;
  for (std::string word; bytes < 2000 && std::getline(file, word, '\0'); bytes += word.size()) {
    words.push_back(word.substr(0, 1000));
  }
  return words;
}

/// Nothing where the file holds no whole text.
std::optional<std::string> read_owner(int file) {
  char bytes[1 << 14];
  const ssize_t got = ::pread(file, bytes, sizeof bytes, 0);
  if (got <= 0) return std::nullopt;
  try {
    const Json json = Json::parse(bytes, bytes + got);
    const std::string job = json.at("job");
    return fmt::format("process {} on host {} ({}since {})", json.at("pid").get<std::int64_t>(),
                       json.at("host").get<std::string>(), job == "-" ? "" : fmt::format("job {}, ", job),
                       json.at("started").get<std::string>());
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

/// The holder writes its text right after it got the lock; who comes in between waits for that.
std::string describe_owner(int file) {
  for (int tries = 0; tries < 100; ++tries) {
    if (const auto owner = read_owner(file)) return *owner;
    ::usleep(10000);
  }
  return "another process, which does not say who it is";
}

}  // namespace

RunLock::RunLock(const std::string& folder, const std::string& job) {
  const std::string path = lock_file(folder);
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) fail(ExitCode::storage, "cannot open the lock '{}': {}", path, std::strerror(errno));
  struct flock lock = whole_file();
  const int error = ::fcntl(file_, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
  if (error == 0 || has_no_locks(error)) {
    if (error != 0) {
      log::warning("the file system of '{}' has no locks ({}): nothing keeps a second run out of this folder", folder,
                   std::strerror(error));
    }
    write_owner(job);
    return;
  }
  const bool taken = error == EAGAIN || error == EACCES;
  const std::string owner = taken ? describe_owner(file_) : "";
  ::close(file_);
  if (!taken) fail(ExitCode::storage, "cannot lock '{}': {}", path, std::strerror(error));
  fail(ExitCode::usage, "the run folder '{}' is in use by {}: wait, or choose another --run-dir", folder, owner);
}

RunLock::~RunLock() { ::close(file_); }

void RunLock::write_owner(const std::string& job) const {
  const Json owner{{"host", host_name()}, {"pid", ::getpid()},    {"job", job},
                   {"user", user_name()}, {"started", utc_now()}, {"command", command_line()}};
  // Words of a command line may be any bytes.
  const std::string text = owner.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const bool written =
      ::ftruncate(file_, 0) == 0 && ::pwrite(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  if (!written) log::warning("the lock of the run folder does not say who holds it: {}", std::strerror(errno));
}

std::string job_name() {
  for (const char* variable : {"SLURM_JOB_ID", "TRIREME_JOB"}) {
    const char* name = std::getenv(variable);
    if (name != nullptr && *name != '\0') return name;
  }
  return "-";
}

std::optional<std::string> run_owner(const std::string& folder) {
  const std::string path = lock_file(folder);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return std::nullopt;
  if (file < 0) fail(ExitCode::storage, "cannot open the lock '{}': {}", path, std::strerror(errno));
  struct flock lock = whole_file();
  std::optional<std::string> owner;
  if (::fcntl(file, F_OFD_GETLK, &lock) != 0) {
    log::warning("the file system of '{}' has no locks ({}): a run in this folder would not be seen", folder,
                 std::strerror(errno));
  } else if (lock.l_type != F_UNLCK) {
    owner = describe_owner(file);
  }
  ::close(file);
  return owner;
}

}  // namespace trireme
