#include "core/io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.hpp"
#include "core/io/descriptor.hpp"

namespace trireme {
namespace {

/// A pipe without a writer would be waited for; it is refused when it is open.
Descriptor open_to_read(const std::string& path) {
  return Descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

std::size_t size_of_open_file(const Descriptor& file, const std::string& path) {
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) {
    fail(ExitCode::corrupt_input, "cannot open {}: {}", path, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    fail(ExitCode::corrupt_input, "cannot read {}: it is not a regular file", path);
  }
  return static_cast<std::size_t>(info.st_size);
}

}  // namespace

MappedFile::MappedFile(const std::string& path, std::size_t expected_bytes) {
  const Descriptor file = open_to_read(path);
  const std::size_t found = size_of_open_file(file, path);
  if (found != expected_bytes) {
    fail(ExitCode::corrupt_input, "{} has {} bytes where {} are expected: it was cut off or changed; write it again",
         path, found, expected_bytes);
  }
  if (found == 0) return;
  void* const address = ::mmap(nullptr, found, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) {
    fail(ExitCode::storage, "cannot map the {} bytes of {}: {}", found, path, std::strerror(errno));
  }
  data_ = static_cast<const std::byte*>(address);
  size_ = found;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() { release(); }

void MappedFile::release() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  data_ = nullptr;
}

std::size_t file_bytes(const std::string& path) { return size_of_open_file(open_to_read(path), path); }

}  // namespace trireme
