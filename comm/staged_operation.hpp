// One collective on a GPU's tensors by way of host memory, piece by piece: while one piece travels between the ranks,
// the next comes from the GPU and the one before goes back. Where a call gathers or scatters, a piece is the same part
// of every rank's share. All ranks cut alike, so the calls below agree.
#pragma once

#include <array>
#include <memory>

#include "comm/communicator.hpp"
#include "comm/pending_work.hpp"
#include "comm/staging_port.hpp"

namespace trireme {

struct StagedCall {
  std::shared_ptr<StagingPort> port;
  std::shared_ptr<Communicator> below;  // used for such pieces and nothing else
  Call call;
  CollectiveLog::Ticket ticket;
  std::size_t chunk_bytes = 0;  // of host memory for a piece
};

class StagedOperation final : public Work {
 public:
  explicit StagedOperation(StagedCall call);
  bool advance() override;
  void block() override;

 private:
  /// One of the two tensors of the call, as so many shares that are cut in parallel; 0: not used on this rank.
  struct Side {
    Tensor tensor;
    int shares = 0;
  };
  struct Slot {
    std::shared_ptr<Buffer> in, out;
    Event fetched, moved, stored;
  };

  void lay_out();
  bool step();
  void fetch(std::int64_t piece);
  void move(std::int64_t piece);
  void store(std::int64_t piece);
  std::int64_t count(std::int64_t piece) const;
  std::byte* at(const Side& side, int share, std::int64_t piece) const;
  Tensor host(const Side& side, const std::shared_ptr<Buffer>& buffer, std::int64_t piece) const;
  Slot& slot(std::int64_t piece) { return slots_[static_cast<std::size_t>(piece) % slots_.size()]; }

  StagedCall c_;
  Side in_, out_;
  bool in_place_ = false;   // the call below reads and writes one piece of host memory
  std::int64_t share_ = 0;  // elements of a share
  std::int64_t step_ = 1;   // of them in a piece
  std::int64_t pieces_ = 0;
  std::int64_t fetched_ = 0, moved_ = 0, stored_ = 0, done_ = 0;  // pieces so far
  std::array<Slot, 2> slots_;
  bool begun_ = false;
};

}  // namespace trireme
