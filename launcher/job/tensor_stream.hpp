// A tensor of a checkpoint from front to back, block by block, each byte read once and hashed on the way. What was read
// is known to be as it was written when the end is reached: a damaged piece is an Error(corrupt_input) at its end.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/io/hash.hpp"
#include "launcher/run/checkpoint_bytes.hpp"
#include "launcher/run/checkpoint_reader.hpp"

namespace trireme {

class TensorStream {
 public:
  /// Both must outlive it.
  TensorStream(const CheckpointReader& reader, const SavedTensor& tensor);

  /// Whole elements, the next ones; nothing at the end. Valid until the next call.
  std::span<const std::byte> ahead();
  /// Goes on by so many bytes, whole elements of those ahead.
  void take(std::size_t bytes) { ahead_ = ahead_.subspan(bytes); }

 private:
  void begin_piece(const SavedPiece& piece);
  void end_piece() const;
  std::string place() const;

  const CheckpointReader& reader_;
  const SavedTensor& tensor_;
  std::size_t next_ = 0;
  const SavedPiece* piece_ = nullptr;
  OpenedFile file_;
  ByteRange rest_;
  Hasher hasher_;
  std::vector<std::byte> block_;
  std::span<const std::byte> ahead_;
};

}  // namespace trireme
