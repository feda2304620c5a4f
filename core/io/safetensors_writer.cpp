#include "core/io/safetensors_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/json_object.hpp"
#include "core/io/safetensors.hpp"

namespace trireme {
namespace {

/// Tensors one behind the other, places counted from the end of the header.
SafeTensorsHeader header_of(const std::vector<SafeTensorSpec>& tensors, const SafeTensorsMetadata& metadata) {
  SafeTensorsHeader header{.tensors = {}, .metadata = metadata};
  std::int64_t at = 0;
  for (const SafeTensorSpec& tensor : tensors) {
    const std::int64_t end = checked_add(at, tensor.bytes());
    header.tensors.push_back({tensor.name, std::string(safetensors_name(tensor.dtype)), tensor.shape, {at, end}, 0});
    at = end;
  }
  return header;
}

/// A shard is closed before the tensor that would make it too large.
std::vector<std::vector<SafeTensorSpec>> in_shards(std::vector<SafeTensorSpec> tensors, std::int64_t most) {
  require(most > 0, "a shard of {} bytes holds nothing", most);
  std::vector<std::vector<SafeTensorSpec>> shards(1);
  std::int64_t bytes = 0;
  for (SafeTensorSpec& tensor : tensors) {
    const std::int64_t more = tensor.bytes();
    if (!shards.back().empty() && more > most - std::min(bytes, most)) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes = checked_add(bytes, more);
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

}  // namespace

std::int64_t SafeTensorSpec::bytes() const {
  return checked_mul(shape.elements(), static_cast<std::int64_t>(size_of(dtype)));
}

SafeTensorsWriter::SafeTensorsWriter(std::string path, const std::vector<SafeTensorSpec>& tensors,
                                     const SafeTensorsMetadata& metadata)
    : path_(std::move(path)), temporary_(fmt::format("{}.{}.tmp", path_, ::getpid())) {
  const SafeTensorsHeader header = header_of(tensors, metadata);
  const std::string front = safetensors_header_bytes(header);
  file_ = Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file_) fail(ExitCode::storage, "cannot create '{}': {}", temporary_, std::strerror(errno));
  at_ = static_cast<std::int64_t>(front.size());
  end_ = checked_add(at_, header.tensors.empty() ? 0 : header.tensors.back().bytes.end);
  try {
    reserve_bytes(file_, end_, temporary_);
    write_at(file_, 0, std::as_bytes(std::span(front)), temporary_);
  } catch (...) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

SafeTensorsWriter::SafeTensorsWriter(SafeTensorsWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)),
      at_(other.at_),
      end_(other.end_) {}

SafeTensorsWriter::~SafeTensorsWriter() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void SafeTensorsWriter::append(std::span<const std::byte> bytes) {
  require(static_cast<std::int64_t>(bytes.size()) <= missing(), "{}: {} bytes beyond those of its tensors", path_,
          static_cast<std::int64_t>(bytes.size()) - missing());
  write_at(file_, at_, bytes, temporary_);
  at_ += static_cast<std::int64_t>(bytes.size());
}

void SafeTensorsWriter::commit() {
  require(missing() == 0, "{} cannot be finished: {} bytes of its tensors are missing", path_, missing());
  sync_file(file_, temporary_);
  if (file_.close() != 0) fail(ExitCode::storage, "cannot close '{}': {}", temporary_, std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail(ExitCode::storage, "cannot rename a new file to '{}': {}", path_, std::strerror(errno));
  }
  temporary_.clear();
  sync_folder(std::filesystem::path(path_).parent_path().string());
}

SafeTensorsFolderWriter::SafeTensorsFolderWriter(std::string folder, std::vector<SafeTensorSpec> tensors,
                                                 std::int64_t shard_bytes)
    : folder_(std::move(folder)), shards_(in_shards(std::move(tensors), shard_bytes)) {
  for (std::size_t k = 1; k <= shards_.size(); ++k) {
    files_.push_back(shards_.size() == 1 ? safetensors_file
                                         : fmt::format("model-{:05}-of-{:05}.safetensors", k, shards_.size()));
  }
  if (shards_.size() > 1) files_.emplace_back(safetensors_index_file);
  next_shard();
}

void SafeTensorsFolderWriter::next_shard() {
  if (writer_) writer_->commit();
  writer_.reset();
  if (next_ == shards_.size()) return;
  writer_.emplace(path_of(next_), shards_[next_]);
  ++next_;
}

void SafeTensorsFolderWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    while (writer_ && writer_->missing() == 0) next_shard();
    require(writer_.has_value(), "{}: {} bytes beyond those of the tensors", folder_, bytes.size());
    const std::size_t some = std::min(bytes.size(), to_size(writer_->missing()));
    writer_->append(bytes.first(some));
    bytes = bytes.subspan(some);
  }
}

void SafeTensorsFolderWriter::commit() {
  while (writer_) next_shard();
  if (shards_.size() > 1) {
    write_file_atomically(folder_ + "/" + safetensors_index_file, index_text(), FileAccess::readable);
  }
}

std::string SafeTensorsFolderWriter::index_text() const {
  Json map = Json::object();
  std::int64_t total = 0;
  for (std::size_t k = 0; k < shards_.size(); ++k) {
    for (const SafeTensorSpec& tensor : shards_[k]) {
      require(map.emplace(tensor.name, files_[k]).second, "two tensors are called {}", quoted_name(tensor.name));
      total = checked_add(total, tensor.bytes());
    }
  }
  return dump_json({{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}}) + "\n";
}

}  // namespace trireme
