// A group of processes ("ranks") that exchange tensors. Collectives take tensors, so that element count and type cannot
// disagree with the memory; each is asynchronous and returns an Event whose wait() throws what went wrong. The tensors
// must stay untouched until then. All ranks of a communicator must make the same calls in the same order. Memory of a
// GPU only where moves() says so; such a call starts after the work queued so far on compute(), and its event lets a
// stream wait without the host. Every call passes start(), which checks it, numbers it in the CollectiveLog and hands
// it to execute(). Threads: calls are made and waited for by one thread (the one that computes).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/collective_log.hpp"
#include "core/device/memory.hpp"
#include "core/tape/peers.hpp"

namespace trireme {

enum class Reduction : std::uint8_t { sum, max, min };

/// One collective or message. `in` is read, `out` is written; they may be the same memory where noted below.
struct Call {
  Collective kind = Collective::barrier;
  Reduction reduction = Reduction::sum;
  Tensor in = {};
  Tensor out = {};
  int peer = 0;    // the root, or where a message goes
  int source = 0;  // where a message comes from
  int tag = 0;
};

class Communicator : public Peers {
 public:
  struct Identity {
    std::string name = "self";  // "world", "world/data": for messages
    int rank = 0;
    std::vector<std::string> hosts;  // of each rank
  };
  Communicator(Identity identity, std::shared_ptr<CollectiveLog> log);

  const Identity& identity() const { return identity_; }
  const std::string& name() const { return identity_.name; }
  int rank() const { return identity_.rank; }
  int size() const { return static_cast<int>(identity_.hosts.size()); }
  const std::string& host() const { return host_of(rank()); }
  const std::string& host_of(int of_rank) const { return identity_.hosts.at(static_cast<std::size_t>(of_rank)); }
  const std::vector<std::string>& hosts() const { return identity_.hosts; }
  /// Place among the ranks of this host, and how many they are.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  CollectiveLog& log() const { return *log_; }
  const std::shared_ptr<CollectiveLog>& shared_log() const { return log_; }

  /// Element-wise over all ranks, the result on all; `out` may be `in`. Sums of bf16 and f16 are made in f32.
  Event all_reduce(const Tensor& in, const Tensor& out, Reduction reduction = Reduction::sum);
  Event all_reduce(const Tensor& values, Reduction reduction = Reduction::sum);
  /// Rank r receives the r-th of size() equal pieces of the reduced `all`.
  Event reduce_scatter(const Tensor& all, const Tensor& mine, Reduction reduction = Reduction::sum);
  /// `all` (size() x mine elements) in rank order; `mine` may be this rank's piece of `all`.
  Event all_gather(const Tensor& mine, const Tensor& all);
  Event broadcast(const Tensor& values, int root);
  /// As all_reduce, the result on `root` only; elsewhere `out` is not touched and may be empty.
  Event reduce_to(int root, const Tensor& in, const Tensor& out, Reduction reduction = Reduction::sum);
  /// As all_gather, on `root` only; elsewhere `all` may be empty.
  Event gather_to(int root, const Tensor& mine, const Tensor& all);
  /// Rank r receives the r-th of size() equal pieces of root's `all`; elsewhere `all` may be empty.
  Event scatter_from(int root, const Tensor& all, const Tensor& mine);
  /// Piece p of `in` goes to rank p, whose piece becomes piece p of `out`.
  Event all_to_all(const Tensor& in, const Tensor& out);
  Event send(const Tensor& values, int to, int tag = 0);
  Event recv(const Tensor& values, int from, int tag = 0);
  /// A send and a receive that cannot block each other.
  Event start_exchange(const Tensor& values, int to, const Tensor& received, int from);
  Event barrier();

  /// Ranks that give the same colour form a group, ordered by key, then rank; a negative colour: none, returns null.
  /// Collective; blocks. `label` names the group in messages.
  virtual std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) = 0;
  /// Does what can be done for calls in flight without blocking.
  virtual void progress() {}
  /// Whether it takes tensors on `device`.
  virtual bool moves(Device device) const { return device == Device::cpu(); }
  /// The stream whose queued work calls on a GPU's tensors follow; null where there is none.
  virtual const Stream* compute() const { return nullptr; }

  /// Calls between these two may be sent as one; none may be waited for before the end, whose event stands for all.
  /// Use a CallGroup (call_group.hpp). abandon_group(): instead of the end, when an exception passes.
  virtual void begin_group();
  virtual Event end_group();
  virtual void abandon_group() noexcept;
  /// Memory for at least `bytes` bytes in all, from which ranks of one host can reduce directly. Collective; every rank
  /// must ask for the same and then allocate the same sizes in the same order. Here: the system's memory.
  virtual std::shared_ptr<Allocator> shared_allocator(std::size_t bytes);
  /// Ends all ranks of the job with this exit code, from any thread.
  [[noreturn]] virtual void abort(ExitCode code);

  /// Blocking helpers for host values: the reduced values; one text of each rank, in rank order.
  std::vector<double> all_reduce_values(std::span<const double> values, Reduction reduction = Reduction::sum);
  std::vector<std::string> all_gather_text(const std::string& mine);

  // Peers
  int part() const override { return rank(); }
  int parts() const override { return size(); }
  void sum(const Tensor& values) override;
  void gather(const Tensor& mine, const Tensor& all) override;
  void scatter_sum(const Tensor& all, const Tensor& mine) override;
  void exchange(const Tensor& out, int to, const Tensor& in, int from) override;

  /// Carries out a checked and numbered call; marks `ticket` started and finished. For communicators that stand on
  /// others; everybody else uses the calls above.
  virtual Event execute(const Call& call, CollectiveLog::Ticket ticket) = 0;

 protected:
  /// "all_reduce number 12 of world (f32 x 4096) at rank 3 on host a", for messages.
  std::string describe(const Call& call, const CollectiveLog::Ticket& ticket) const;

 private:
  Event start(const Call& call);
  void compare(const Call& call, std::uint64_t sequence);
  void check(const Call& call) const;
  void check_pieces(const Call& call) const;
  bool is_rooted_elsewhere(const Call& call) const;

  Identity identity_;
  std::shared_ptr<CollectiveLog> log_;
  int local_rank_ = 0;
  int local_size_ = 1;
  std::uint64_t calls_ = 0;
  bool grouping_ = false;
  std::vector<std::shared_ptr<Completion>> group_;
};

/// Elements of the larger tensor, and its type, for messages and the log.
std::int64_t count_of(const Call& call);
DType dtype_of_call(const Call& call);

}  // namespace trireme
