#include "core/io/zlib_stream.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "core/base/error.hpp"

namespace trireme {

Inflated inflate_stream(std::span<const std::byte> stream, std::size_t size, const std::string& what) {
  constexpr std::size_t most = std::numeric_limits<uInt>::max();
  // zlib packs no more than about 1030 bytes into one: a larger claim need not be given memory.
  if (size > most || size / 1100 > stream.size())
    fail(ExitCode::corrupt_input, "{}: {} bytes are said to be unpacked from {}", what, size, stream.size());
  Inflated out{std::vector<std::byte>(size), 0};
  z_stream z{};
  if (inflateInit(&z) != Z_OK) fail(ExitCode::failure, "zlib cannot start for {}", what);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> ends(&z, &inflateEnd);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(stream.data()));  // only read
  z.avail_in = static_cast<uInt>(std::min(stream.size(), most));
  z.next_out = reinterpret_cast<Bytef*>(out.bytes.data());
  z.avail_out = static_cast<uInt>(size);
  const int status = inflate(&z, Z_FINISH);
  if (status != Z_STREAM_END || z.avail_out != 0)
    fail(ExitCode::corrupt_input, "{}: the compressed data is damaged, cut off or not {} bytes long ({})", what, size,
         z.msg ? z.msg : "zlib says no more");
  out.consumed = z.total_in;
  return out;
}

std::vector<std::byte> deflate_stream(std::span<const std::byte> bytes, int level) {
  uLongf size = compressBound(bytes.size());
  std::vector<std::byte> out(size);
  const int status = compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                               reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), level);
  if (status != Z_OK) fail(ExitCode::failure, "zlib cannot compress {} bytes at level {}", bytes.size(), level);
  out.resize(size);
  return out;
}

}  // namespace trireme
