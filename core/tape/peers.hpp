// Other parts of one computation that is split over several processes, as core sees them: a number of parts, which one
// this is, and sums over all. Synchronised batch norm uses it; the trivial implementation is a computation of one part.
#pragma once

#include "core/device/stream.hpp"
#include "core/tensor/tensor.hpp"

namespace trireme {

class Peers {
 public:
  virtual ~Peers() = default;
  virtual int part() const = 0;
  virtual int parts() const = 0;
  /// Replaces `values` (any floating dtype) by the element-wise sum over all parts, added in part order where the
  /// transport allows; every part must call with the same shape and dtype. Blocks until done.
  virtual void sum(const Tensor& values) = 0;
  /// Concatenates `mine` of all parts along dim 0 into `all` (parts x mine elements) in part order. Blocks until done.
  virtual void gather(const Tensor& mine, const Tensor& all) = 0;
  /// The inverse: part p receives the p-th of `parts()` equal pieces of the element-wise sum of `all`.
  virtual void scatter_sum(const Tensor& all, const Tensor& mine) = 0;
  /// Sends `out` to part `to` while receiving `in` from part `from`. Blocks until done.
  virtual void exchange(const Tensor& out, int to, const Tensor& in, int from) = 0;
};

/// A computation of one part: sums are what they were, gather and exchange copy.
class SinglePeer final : public Peers {
 public:
  int part() const override { return 0; }
  int parts() const override { return 1; }
  void sum(const Tensor&) override {}
  void gather(const Tensor& mine, const Tensor& all) override { all.copy_from(mine); }
  void scatter_sum(const Tensor& all, const Tensor& mine) override { mine.copy_from(all); }
  void exchange(const Tensor& out, int, const Tensor& in, int) override { in.copy_from(out); }
};

}  // namespace trireme
