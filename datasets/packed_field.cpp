#include "datasets/packed_field.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/io/zlib_stream.hpp"

namespace trireme {
namespace {

/// The k-th bytes of all elements stand together: out[k * count + i] = in[i * size + k].
void shuffle(std::span<const std::byte> in, std::byte* out, std::size_t size) {
  const std::size_t count = in.size() / size;
  for (std::size_t k = 0; k < size; ++k)
    for (std::size_t i = 0; i < count; ++i) out[k * count + i] = in[i * size + k];
}

void unshuffle(std::span<const std::byte> in, std::byte* out, std::size_t size) {
  const std::size_t count = in.size() / size;
  for (std::size_t k = 0; k < size; ++k)
    for (std::size_t i = 0; i < count; ++i) out[i * size + k] = in[k * count + i];
}

std::int64_t row_bytes_of(const StoredArray& array) {
  return checked_mul(array.shape.tail().elements(), static_cast<std::int64_t>(size_of(array.dtype)));
}

}  // namespace

ChunkCache::Chunk ChunkCache::find(std::uint64_t key) {
  const std::lock_guard lock(guard_);
  const auto found = places_.find(key);
  if (found == places_.end()) return nullptr;
  used_.splice(used_.begin(), used_, found->second);
  return found->second->chunk;
}

void ChunkCache::keep(std::uint64_t key, const Chunk& chunk) {
  const std::lock_guard lock(guard_);
  if (chunk->size() > most_bytes_ || places_.contains(key)) return;  // another thread was first
  used_.push_front({key, chunk});
  places_[key] = used_.begin();
  bytes_ += chunk->size();
  while (bytes_ > most_bytes_) {
    bytes_ -= used_.back().chunk->size();
    places_.erase(used_.back().key);
    used_.pop_back();
  }
}

std::size_t ChunkCache::bytes() const {
  const std::lock_guard lock(guard_);
  return bytes_;
}

std::uint64_t ChunkCache::keys(std::uint64_t count) {
  const std::lock_guard lock(guard_);
  return std::exchange(next_key_, next_key_ + count);
}

std::vector<std::byte> unpack_chunk(const MappedFile& file, const StoredArray& array, std::size_t chunk,
                                    const std::string& path) {
  const StoredChunk& at = array.chunks[chunk];
  const std::size_t bytes = to_size(checked_mul(array.chunk_rows, row_bytes_of(array)));
  const std::string what = fmt::format("chunk {} of '{}' in {}", chunk, array.name, path);
  const auto packed = file.bytes().subspan(to_size(at.offset), to_size(at.bytes));
  Inflated found = inflate_stream(packed, bytes, what);
  if (found.consumed != packed.size())
    fail(ExitCode::corrupt_input, "{}: other bytes follow its {} compressed ones", what, found.consumed);
  const std::size_t size = size_of(array.dtype);
  if (size == 1) return std::move(found.bytes);
  std::vector<std::byte> out(bytes);
  unshuffle(found.bytes, out.data(), size);
  return out;
}

std::vector<std::byte> pack_chunk(std::span<const std::byte> rows, DType dtype, int level) {
  const std::size_t size = size_of(dtype);
  if (size == 1) return deflate_stream(rows, level);
  std::vector<std::byte> shuffled(rows.size());
  shuffle(rows, shuffled.data(), size);
  return deflate_stream(shuffled, level);
}

Hash128 hash_elements(const MappedFile& file, const StoredArray& array, const std::string& path) {
  if (!array.packed()) return hash_bytes(file.data() + array.offset, to_size(array.bytes()));
  Hasher hasher;
  std::size_t left = to_size(array.bytes());
  for (std::size_t k = 0; k < array.chunks.size(); ++k) {
    const std::vector<std::byte> chunk = unpack_chunk(file, array, k, path);
    const std::size_t some = std::min(left, chunk.size());
    hasher.update(chunk.data(), some);
    left -= some;
  }
  return hasher.digest();
}

PackedField::PackedField(const MappedFile& file, StoredArray array, std::string path, ChunkCache& cache)
    : file_(file),
      array_(std::move(array)),
      path_(std::move(path)),
      cache_(cache),
      first_key_(cache.keys(array_.chunks.size())),
      row_bytes_(to_size(row_bytes_of(array_))) {}

void PackedField::copy(std::int64_t row, std::byte* out) const {
  const auto number = to_size(row / array_.chunk_rows);
  ChunkCache::Chunk chunk = cache_.find(first_key_ + number);
  if (!chunk) {
    chunk = std::make_shared<const std::vector<std::byte>>(unpack_chunk(file_, array_, number, path_));
    cache_.keep(first_key_ + number, chunk);
  }
  std::memcpy(out, chunk->data() + to_size(row % array_.chunk_rows) * row_bytes_, row_bytes_);
}

}  // namespace trireme
