#include "core/io/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/base/error.hpp"
#include "core/io/mapped_file.hpp"

namespace trireme {
namespace {

constexpr std::size_t input_block = std::size_t{256} << 10;
constexpr int gzip_with_any_window = 15 + 16;  // zlib's code for "a gzip header, up to 32 KiB window"

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

struct InputFile::State {
  enum class Kind { plain, gzip };

  State(const std::string& path_, std::uint64_t bytes)
      : path(path_),
        stored_bytes(bytes),
        file(std::fopen(path.c_str(), "rbe")),
        block(std::clamp<std::size_t>(bytes, 1, input_block)) {
    if (!file) fail(ExitCode::corrupt_input, "cannot open {}: {}", path, std::strerror(errno));
    refill();
    if (end - next >= 2 && next[0] == 0x1f && next[1] == 0x8b) start_gzip();
  }
  ~State() {
    if (kind == Kind::gzip) inflateEnd(&stream);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void start_gzip() {
    if (inflateInit2(&stream, gzip_with_any_window) != Z_OK) fail(ExitCode::failure, "zlib cannot start for {}", path);
    kind = Kind::gzip;
  }

  std::size_t available() const { return static_cast<std::size_t>(end - next); }

  void refill() {
    const std::size_t got = std::fread(block.data(), 1, block.size(), file.get());
    if (got == 0 && std::ferror(file.get()) != 0)
      fail(ExitCode::corrupt_input, "cannot read {}: {}", path, std::strerror(errno));
    hasher.update(block.data(), got);
    stored_read += got;
    next = block.data();
    end = next + got;
  }

  std::size_t read_plain(std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size()) {
      if (available() == 0) refill();
      if (available() == 0) break;
      const std::size_t n = std::min(available(), out.size() - done);
      std::memcpy(out.data() + done, next, n);
      next += n;
      done += n;
    }
    return done;
  }

  /// After the end of one compressed member: another one, the end of the file, or bytes that do not belong there.
  void next_member() {
    if (available() == 0) refill();
    if (available() == 0) {
      finished = true;
      return;
    }
    if (*next != 0x1f) fail(ExitCode::corrupt_input, "{}: other bytes follow the compressed data", path);
    inflateReset(&stream);
  }

  std::size_t read_gzip(std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size() && !finished) {
      if (available() == 0) refill();
      if (available() == 0) fail(ExitCode::corrupt_input, "{}: the compressed data is cut off", path);
      const std::size_t room = std::min<std::size_t>(out.size() - done, std::size_t{1} << 30);
      stream.next_in = next;
      stream.avail_in = static_cast<uInt>(available());
      stream.next_out = reinterpret_cast<unsigned char*>(out.data() + done);
      stream.avail_out = static_cast<uInt>(room);
      const int status = inflate(&stream, Z_NO_FLUSH);
      next = end - stream.avail_in;
      done += room - stream.avail_out;
      if (status == Z_STREAM_END) {
        next_member();
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        fail(ExitCode::corrupt_input, "{}: the compressed data is damaged ({})", path,
             stream.msg != nullptr ? stream.msg : "zlib gives no reason");
      }
    }
    return done;
  }

  std::string path;
  std::uint64_t stored_bytes, stored_read = 0;
  std::unique_ptr<std::FILE, CloseFile> file;
  std::vector<unsigned char> block;
  unsigned char* next = nullptr;
  unsigned char* end = nullptr;
  Hasher hasher;
  Kind kind = Kind::plain;
  bool finished = false;
  z_stream stream{};
};

InputFile::InputFile(const std::string& path) : path_(path), state_(std::make_unique<State>(path, file_bytes(path))) {}
InputFile::~InputFile() = default;

std::size_t InputFile::read(std::span<std::byte> out) {
  const std::size_t got = compressed() ? state_->read_gzip(out) : state_->read_plain(out);
  position_ += got;
  return got;
}

void InputFile::read_exactly(std::span<std::byte> out, const std::string& what) {
  const std::uint64_t before = position_;
  const std::size_t got = read(out);
  if (got != out.size()) {
    fail(ExitCode::corrupt_input, "{} is cut off: {} needs {} bytes from byte {} on, only {} are there", path_, what,
         out.size(), before, got);
  }
}

void InputFile::expect_end() {
  std::byte extra{};
  if (read({&extra, 1}) != 0) {
    fail(ExitCode::corrupt_input, "{} has bytes after its end at byte {}: it does not hold what its header says", path_,
         position_ - 1);
  }
}

bool InputFile::compressed() const { return state_->kind == State::Kind::gzip; }
std::uint64_t InputFile::stored_bytes() const { return state_->stored_bytes; }
std::uint64_t InputFile::stored_read() const { return state_->stored_read; }
Hash128 InputFile::stored_hash() const { return state_->hasher.digest(); }

}  // namespace trireme
