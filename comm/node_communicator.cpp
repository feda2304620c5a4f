#include "comm/node_communicator.hpp"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "comm/pending_work.hpp"
#include "comm/window_operation.hpp"
#include "core/base/checked.hpp"
#include "core/base/log.hpp"

namespace trireme {
namespace {

/// Up to this size every rank sums everything: the second synchronisation would cost more than the arithmetic.
constexpr std::size_t redundant = 16 * 1024;
/// From this size on memory in a shared window is reduced where it lies.
constexpr std::size_t worth_two_meetings = 4 * 1024;

/// Who shares a host with whom.
struct Topology {
  int node = 0;  // number of this host, in order of its first rank
  int nodes = 1;
  int local_rank = 0;
  int smallest = 1;  // ranks on the host with the fewest
  int largest = 1;
  std::vector<std::string> local_names;
};

Topology topology_of(Communicator& base, const std::string& mine) {
  const auto texts = base.all_gather_text(mine);
  std::vector<std::string> hosts;
  std::vector<int> counts;
  Topology out;
  for (int r = 0; r < base.size(); ++r) {
    const auto& text = texts[to_size(r)];
    const auto place = static_cast<std::size_t>(std::find(hosts.begin(), hosts.end(), text) - hosts.begin());
    if (place == hosts.size()) {
      hosts.push_back(text);
      counts.push_back(0);
    }
    if (r == base.rank()) {
      out.node = narrow<int>(place);
      out.local_rank = counts[place];
    }
    ++counts[place];
    if (text == mine) out.local_names.push_back(fmt::format("rank {} on host {}", r, base.host_of(r)));
  }
  out.nodes = narrow<int>(hosts.size());
  out.smallest = *std::min_element(counts.begin(), counts.end());
  out.largest = *std::max_element(counts.begin(), counts.end());
  return out;
}

/// Windows are host memory; memory of a GPU is for whatever lies below, where that takes it.
bool is_host(const Call& call) {
  return (!call.in || call.in.device() == Device::cpu()) && (!call.out || call.out.device() == Device::cpu());
}

/// A call of the underlying communicator that was made while earlier ones still need this thread.
class PassedOn final : public Work {
 public:
  explicit PassedOn(Event event) : event_(std::move(event)) {}
  bool advance() override {
    if (!event_.done()) return false;
    event_.wait();
    return true;
  }
  void block() override { event_.wait(); }

 private:
  Event event_;
};

/// Whether all ranks say yes.
bool all_agree(Communicator& base, bool mine) {
  const double vote = mine ? 1 : 0;
  return base.all_reduce_values({&vote, 1}, Reduction::min).front() > 0;
}

void warn_of_refusal(const NodeWindow::Result& made, int local_rank, const std::string& host) {
  static std::atomic<bool> said{false};
  if (made.window || local_rank != 0 || said.exchange(true)) return;
  log::warning(
      "shared memory for the ranks of host {} was refused ({}); they reduce through MPI instead, which is slower. Give "
      "/dev/shm more room (containers: --shm-size)",
      host, made.refusal);
}

class NodeCommunicator final : public Communicator {
 public:
  NodeCommunicator(std::shared_ptr<Communicator> base, std::shared_ptr<PendingWork> pending, NodeOptions options)
      : Communicator({.name = base->name(), .rank = base->rank(), .hosts = base->hosts()}, base->shared_log()),
        base_(std::move(base)),
        pending_(std::move(pending)),
        options_(std::move(options)) {}

  /// Collective; false on all ranks when there is nothing to share or memory was refused.
  bool connect() {
    const auto topology = topology_of(*base_, options_.host.empty() ? base_->host() : options_.host);
    if (topology.largest == 1) return false;
    node_ = base_->split(topology.node, rank(), "host");
    group_.rank = topology.local_rank;
    group_.size = narrow<int>(topology.local_names.size());
    group_.names = topology.local_names;
    group_.exchange = [node = node_](const std::string& text) { return node->all_gather_text(text); };
    const WindowChannel::Layout layout{.chunk = options_.chunk_bytes};
    const auto made = NodeWindow::create(group_, {NodeSync::bytes(group_.size), layout.total()});
    warn_of_refusal(made, group_.rank, base_->host());
    if (!all_agree(*base_, made.window != nullptr)) return false;
    channel_ = std::make_shared<WindowChannel>(made.window, group_, layout);
    channel_->parts = topology.smallest;
    one_host_ = topology.nodes == 1;
    if (!one_host_) {
      const bool sums = group_.rank < topology.smallest;
      channel_->cross = base_->split(sums ? group_.rank : -1, topology.node, "hosts");
    }
    return true;
  }

  std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) override {
    pending_->progress();
    auto part = base_->split(colour, key, label);
    if (!part || part->size() == 1) return part;
    return wrap(std::move(part), pending_, options_);
  }

  static std::shared_ptr<Communicator> wrap(std::shared_ptr<Communicator> base, std::shared_ptr<PendingWork> pending,
                                            const NodeOptions& options) {
    auto wrapped = std::make_shared<NodeCommunicator>(base, std::move(pending), options);
    return wrapped->connect() ? std::static_pointer_cast<Communicator>(wrapped) : base;
  }

  void progress() override { pending_->progress(); }
  [[noreturn]] void abort(ExitCode code) override {
    base_->abort(code);
    Communicator::abort(code);  // not reached
  }

  std::shared_ptr<Allocator> shared_allocator(std::size_t bytes) override {
    constexpr std::size_t slack = 64 * 1024;  // every block is rounded up to 128 bytes
    const auto made = NodeWindow::create(group_, {0, bytes + slack});
    warn_of_refusal(made, group_.rank, base_->host());
    if (!all_agree(*base_, made.window != nullptr)) return Communicator::shared_allocator(bytes);
    channel_->windows.push_back(made.window);
    return made.window->allocator();
  }

  Event execute(const Call& call, CollectiveLog::Ticket ticket) override {
    WindowCall inside{channel_, call, ticket, name()};
    if (is_host(call)) {
      if (auto work = work_for(inside)) return pending_->submit(std::move(work));
    }
    auto event = base_->execute(call, std::move(ticket));
    if (pending_->empty()) return event;
    return pending_->submit(std::make_shared<PassedOn>(std::move(event)));
  }

 private:
  std::shared_ptr<Work> work_for(WindowCall& inside) const {
    const Call& call = inside.call;
    const bool small = one_host_ && (!call.in || call.in.bytes() <= WindowChannel::Layout::small);
    switch (call.kind) {
      case Collective::all_reduce:
        if (call.in.elements() == 0) return nullptr;
        if (call.in.bytes() >= worth_two_meetings) {
          if (auto work = direct_operation(inside)) return work;
        }
        if (one_host_ && call.in.bytes() <= redundant) return small_operation(std::move(inside));
        if (one_host_ || call.in.bytes() > redundant) return staged_operation(std::move(inside));
        return nullptr;
      case Collective::all_gather:
      case Collective::reduce_scatter:
      case Collective::broadcast:
        return small && call.in.elements() > 0 ? small_operation(std::move(inside)) : nullptr;
      case Collective::barrier:
        return small ? small_operation(std::move(inside)) : nullptr;
      default:
        return nullptr;
    }
  }

  std::shared_ptr<Communicator> base_;
  std::shared_ptr<PendingWork> pending_;
  NodeOptions options_;
  std::shared_ptr<Communicator> node_;  // the ranks of this host
  NodeGroup group_;
  std::shared_ptr<WindowChannel> channel_;
  bool one_host_ = true;
};

}  // namespace

std::shared_ptr<Communicator> with_node_window(std::shared_ptr<Communicator> base, const NodeOptions& options) {
  if (base->size() == 1) return base;
  return NodeCommunicator::wrap(std::move(base), std::make_shared<PendingWork>(), options);
}

}  // namespace trireme
