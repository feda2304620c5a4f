#include "datasets/spill_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

constexpr std::size_t buffered = std::size_t{1} << 20;

}  // namespace

SpillFile::SpillFile(std::string path)
    : path_(std::move(path)), file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
  if (!file_) fail(ExitCode::storage, "cannot create '{}': {}", path_, std::strerror(errno));
  ::unlink(path_.c_str());
}

void SpillFile::append(const void* data, std::size_t bytes) {
  const auto* const first = static_cast<const std::byte*>(data);
  buffer_.insert(buffer_.end(), first, first + bytes);
  if (buffer_.size() >= buffered) flush();
}

void SpillFile::flush() {
  write_at(file_, written_, buffer_, path_);
  written_ += std::ssize(buffer_);
  buffer_.clear();
}

void SpillFile::read(std::int64_t offset, std::span<std::byte> out) {
  if (!buffer_.empty()) flush();
  const std::size_t got = read_at(file_, offset, out, path_);
  require(got == out.size(), "{} has {} bytes from {} on, wanted {}", path_, got, offset, out.size());
}

}  // namespace trireme
