#include "launcher/doctor/shared_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/doctor/sockets.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string place_in(const std::string& folder, const std::string& token) {
  return folder + "/.trireme-doctor-" + token;
}

struct flock all_bytes() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// Reading the folder makes clients of network file systems ask the server again.
bool reads(const std::string& file, const std::string& wanted) {
  std::error_code none;
  for (fs::directory_iterator at(fs::path(file).parent_path(), none), end; !none && at != end; at.increment(none)) {
  }
  try {
    return read_file(file, 4096) == wanted;
  } catch (const Error&) {
    return false;
  }
}

double seconds_until(const std::string& file, const std::string& wanted, double seconds) {
  const double begin = steady_now();
  while (steady_now() < begin + seconds) {
    if (reads(file, wanted)) return steady_now() - begin;
    ::usleep(20000);
  }
  return -1;
}

}  // namespace

SharedFolder::SharedFolder(const std::string& folder, const std::string& token) : place_(place_in(folder, token)) {
  if (::mkdir(place_.c_str(), 0700) != 0) {
    fail(ExitCode::storage, "cannot write into the shared folder '{}': {}", harmless(folder), std::strerror(errno));
  }
  write_file_atomically(place_ + "/first", token);
  lock_ = Descriptor(::open((place_ + "/first").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock = all_bytes();
  ::fcntl(lock_.get(), F_OFD_SETLK, &lock);
}

SharedFolder::~SharedFolder() {
  std::error_code leave_it;
  fs::remove_all(place_, leave_it);
}

double SharedFolder::wait_for(const std::string& host, double seconds) const {
  return seconds_until(place_ + "/of-" + host, host, seconds);
}

SharedAnswer look_into_shared(const std::string& folder, const std::string& token, const std::string& host,
                              double seconds) {
  const std::string place = place_in(folder, token);
  SharedAnswer out;
  if (!fs::is_directory(folder)) return {.problem = "there is no such folder"};
  out.seen_after = seconds_until(place + "/first", token, seconds);
  if (out.seen_after < 0) return out;
  const Descriptor file(::open((place + "/first").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock = all_bytes();
  out.locked = file && ::fcntl(file.get(), F_OFD_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES);
  try {
    write_file_atomically(place + "/of-" + host, host);
  } catch (const Error& error) {
    out.problem = error.what();
  }
  return out;
}

}  // namespace trireme
