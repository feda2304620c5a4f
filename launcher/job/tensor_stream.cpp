#include "launcher/job/tensor_stream.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {

TensorStream::TensorStream(const CheckpointReader& reader, const SavedTensor& tensor)
    : reader_(reader), tensor_(tensor), block_(checkpoint_block) {}

std::span<const std::byte> TensorStream::ahead() {
  while (ahead_.empty()) {
    if (rest_.begin == rest_.end) {
      if (piece_ != nullptr) end_piece();
      piece_ = nullptr;
      if (next_ == tensor_.pieces.size()) return {};
      begin_piece(tensor_.pieces[next_++]);
      continue;
    }
    const std::size_t some = std::min(block_.size(), static_cast<std::size_t>(rest_.end - rest_.begin));
    const std::span<std::byte> into(block_.data(), some);
    if (read_at(file_.descriptor, rest_.begin, into, file_.name) != some) {
      fail(ExitCode::corrupt_input, "{}: cut off", place());
    }
    hasher_.update(into.data(), some);
    rest_.begin += static_cast<std::int64_t>(some);
    ahead_ = into;
  }
  return ahead_;
}

void TensorStream::begin_piece(const SavedPiece& piece) {
  piece_ = &piece;
  const std::string path = reader_.folder() + "/" + piece.file;
  file_ = open_checkpoint_file(path, path);
  rest_ = bytes_of(tensor_, piece);
  hasher_ = Hasher();
}

void TensorStream::end_piece() const {
  const Hash128 found = hasher_.digest();
  if (found == piece_->hash) return;
  fail(ExitCode::corrupt_input, "{}: checksum differs: {} of the bytes, {} in the manifest", place(), found.hex(),
       piece_->hash.hex());
}

std::string TensorStream::place() const {
  return fmt::format("{}: {}: elements [{}, {})", file_.name, tensor_.label(), piece_->first,
                     piece_->first + piece_->count);
}

}  // namespace trireme
