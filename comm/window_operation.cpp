#include "comm/window_operation.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "comm/node_reduce.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

using Counter = NodeSync::Counter;

/// What must have happened before a stage: a counter of all processes, or an event, or nothing.
struct Need {
  std::optional<Counter> counter = {};
  std::uint32_t target = 0;
  const Event* event = nullptr;
};

struct Range {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Part `p` of `parts` of n elements, on cache lines of its own.
Range part_of(std::int64_t n, int p, int parts) {
  const std::int64_t step = round_up(ceil_div(n, parts), 128);
  const std::int64_t first = std::min(n, step * p);
  return {first, p >= parts ? 0 : std::min(n, step * (p + 1)) - first};
}

class WindowOperation : public Work {
 public:
  explicit WindowOperation(WindowCall call)
      : c_(std::move(call)), width_(c_.call.in || c_.call.out ? size_of(dtype_of_call(c_.call)) : 1) {}

  bool advance() final {
    return explain([&] {
      if (!begun_) begin();
      while (stage_ < stages()) {
        if (!is_met(need(stage_))) return false;
        act(stage_++);
      }
      c_.ticket.finished();
      return true;
    });
  }

  void block() final {
    explain([&] {
      const Need wanted = need(stage_);
      if (wanted.event != nullptr) wanted.event->wait();
      if (wanted.counter) sync().wait(*wanted.counter, wanted.target);
      return true;
    });
  }

 protected:
  virtual int stages() const = 0;
  virtual Need need(int stage) const = 0;
  virtual void act(int stage) = 0;
  virtual NodeOperation description() const = 0;

  NodeSync& sync() const { return c_.channel->sync; }
  const Call& call() const { return c_.call; }
  WindowChannel& channel() const { return *c_.channel; }
  int rank() const { return c_.channel->group.rank; }
  int size() const { return c_.channel->group.size; }
  std::size_t width() const { return width_; }
  /// The counter's value once this operation has counted it up `times` times.
  Need after(Counter counter, int times) const {
    const auto base = counter == Counter::filled ? filled_ : done_;
    return {counter, base + static_cast<std::uint32_t>(times)};
  }
  std::size_t bytes(std::int64_t elements) const { return static_cast<std::size_t>(elements) * width_; }
  std::byte* slot(int of, std::size_t place) const { return channel().staging->slice(of) + place; }
  NodeOperation describe(std::int64_t count) const {
    NodeOperation out;
    out.sequence = index_;
    out.count = count;
    out.kind = static_cast<std::uint8_t>(call().kind);
    out.reduction = static_cast<std::uint8_t>(call().reduction);
    out.dtype = static_cast<std::uint8_t>(call().kind == Collective::barrier ? DType::f32 : dtype_of_call(call()));
    out.root = static_cast<std::uint8_t>(call().peer);
    return out;
  }
  std::vector<const std::byte*>& no_sources() const {
    channel().sources.clear();
    return channel().sources;
  }
  void check_same() const { sync().check_same(description()); }

 private:
  void begin() {
    begun_ = true;
    c_.ticket.started();
    index_ = channel().operations++;
    filled_ = sync().mine(Counter::filled);
    done_ = sync().mine(Counter::done);
    sync().describe(description());
  }

  bool is_met(const Need& wanted) const {
    if (wanted.event != nullptr) {
      if (!wanted.event->done()) return false;
      wanted.event->wait();  // throws what it failed with
    }
    return !wanted.counter || sync().reached(*wanted.counter, wanted.target);
  }

  template <class F>
  bool explain(F&& f) {
    try {
      return f();
    } catch (const Error& error) {
      fail(error.code(), "{} number {} of {}: {}", name_of(c_.call.kind), c_.ticket.sequence(), c_.communicator,
           error.what());
    }
  }

  WindowCall c_;
  std::size_t width_;
  bool begun_ = false;
  int stage_ = 0;
  std::uint64_t index_ = 0;
  std::uint32_t filled_ = 0, done_ = 0;
};

/// Stages: 0 filled; 1 sum my part; 2 (over hosts) spread it; 3 all are done.
class DirectAllReduce final : public WindowOperation {
 public:
  DirectAllReduce(WindowCall call, std::shared_ptr<NodeWindow> window, NodeOperation place)
      : WindowOperation(std::move(call)), window_(std::move(window)), place_(place) {}

 protected:
  int stages() const override { return 4; }
  Need need(int stage) const override {
    if (stage == 1) return after(Counter::filled, 1);
    if (stage == 2) return {.event = &cross_};
    if (stage == 3) return after(Counter::done, 1);
    return {};
  }
  NodeOperation description() const override {
    auto out = describe(call().in.elements());
    out.offset = place_.offset;
    out.window = place_.window;
    return out;
  }
  void act(int stage) override {
    if (stage == 0) sync().publish(Counter::filled);
    if (stage == 1) sum();
    if (stage == 2) spread();
  }

 private:
  std::byte* copy_of(int rank) const { return window_->slice(rank) + place_.offset; }
  Range mine() const { return part_of(call().in.elements(), rank(), channel().parts); }

  void sum() {
    check_same();
    const Range part = mine();
    if (part.count == 0) return;
    auto& sources = no_sources();
    std::vector<std::byte*> targets;
    for (int r = 0; r < size(); ++r) {
      sources.push_back(copy_of(r) + bytes(part.first));
      if (!channel().cross || r == rank()) targets.push_back(copy_of(r) + bytes(part.first));
    }
    reduce_in_rank_order({call().in.dtype(), call().reduction, sources, targets, part.count});
    if (!channel().cross) return;
    const auto& in = call().in;
    const Tensor piece(in.buffer(), in.offset() + bytes(part.first), {part.count}, in.dtype());
    cross_ = channel().cross->all_reduce(piece, call().reduction);
  }

  void spread() {
    const Range part = mine();
    for (int r = 0; channel().cross && r < size(); ++r) {
      if (r != rank())
        std::memcpy(copy_of(r) + bytes(part.first), copy_of(rank()) + bytes(part.first), bytes(part.count));
    }
    sync().publish(Counter::done);
  }

  std::shared_ptr<NodeWindow> window_;
  NodeOperation place_;
  Event cross_;
};

/// Stages of chunk k: 3k copy out k-1 and in k+1; 3k+1 sum my part of k; 3k+2 publish it. Last: copy out the last
/// chunk. In its place each process puts the parts that others sum, and where its own part would be, the sum. That a
/// place is free: a process fills chunk k+1 after all are done with sum k-1, thus have copied out k-2; only k-1, k and
/// k+1 are in use, and at the start of an operation the last chunk of the one before in place of k-1.
class StagedAllReduce final : public WindowOperation {
 public:
  explicit StagedAllReduce(WindowCall call) : WindowOperation(std::move(call)) {
    step_ = narrow<std::int64_t>(channel().layout.chunk / width());
    chunks_ = narrow<int>(ceil_div(this->call().in.elements(), step_));
  }

 protected:
  int stages() const override { return 3 * chunks_ + 1; }
  Need need(int stage) const override {
    const int k = stage / 3;
    if (stage % 3 == 1) return after(Counter::filled, k + 1);
    if (stage % 3 == 2) return {.event = &cross_};
    return k == 0 ? Need{} : after(Counter::done, k);
  }
  NodeOperation description() const override { return describe(call().in.elements()); }
  void act(int stage) override {
    const int k = stage / 3;
    if (stage % 3 == 1) return sum(k);
    if (stage % 3 == 2) return finish_sum(k);
    if (k > 0) copy_out(k - 1);
    if (k == 0) fill(0);
    if (k + 1 < chunks_) fill(k + 1);
  }

 private:
  Range chunk(int k) const {
    const std::int64_t first = step_ * k;
    return {first, std::min(step_, call().in.elements() - first)};
  }
  std::byte* at(const Tensor& tensor, std::int64_t element) const {
    return static_cast<std::byte*>(tensor.raw()) + bytes(element);
  }
  std::byte* staged(int of, int k, const Range& part) const {
    return slot(of, places_[static_cast<std::size_t>(k) % places_.size()]) + bytes(part.first);
  }

  void fill(int k) {
    const Range whole = chunk(k);
    places_[static_cast<std::size_t>(k) % places_.size()] = channel().take_place(bytes(whole.count));
    for (int p = 0; p < channel().parts; ++p) {
      const Range part = part_of(whole.count, p, channel().parts);
      if (p == rank()) continue;  // nobody else sums it
      std::memcpy(staged(rank(), k, part), at(call().in, whole.first + part.first), bytes(part.count));
    }
    sync().publish(Counter::filled);
  }

  void sum(int k) {
    if (k == 0) check_same();
    const Range whole = chunk(k), part = part_of(whole.count, rank(), channel().parts);
    if (part.count == 0) return;
    auto& sources = no_sources();
    for (int r = 0; r < size(); ++r) {
      sources.push_back(r == rank() ? at(call().in, whole.first + part.first) : staged(r, k, part));
    }
    std::vector<std::byte*> targets{staged(rank(), k, part)};
    if (!channel().cross) targets.push_back(at(call().out, whole.first + part.first));
    reduce_in_rank_order({call().in.dtype(), call().reduction, sources, targets, part.count});
    if (!channel().cross) return;
    const auto buffer =
        std::make_shared<Buffer>(targets[0], bytes(part.count), Device::cpu(), [keep = channel().staging](void*) {});
    cross_ = channel().cross->all_reduce(Tensor(buffer, 0, {part.count}, call().in.dtype()), call().reduction);
  }

  void finish_sum(int k) {
    const Range whole = chunk(k), part = part_of(whole.count, rank(), channel().parts);
    if (channel().cross) {
      std::memcpy(at(call().out, whole.first + part.first), staged(rank(), k, part), bytes(part.count));
    }
    sync().publish(Counter::done);
  }

  void copy_out(int k) {
    const Range whole = chunk(k);
    for (int p = 0; p < channel().parts; ++p) {
      const Range part = part_of(whole.count, p, channel().parts);
      if (p == rank()) continue;
      std::memcpy(at(call().out, whole.first + part.first), staged(p, k, part), bytes(part.count));
    }
  }

  std::int64_t step_ = 1;
  int chunks_ = 0;
  std::array<std::size_t, 3> places_{};
  Event cross_;
};

/// Whoever comes to a place again has finished an operation between, which all others joined after reading the place.
class SmallOperation final : public WindowOperation {
 public:
  using WindowOperation::WindowOperation;

 protected:
  int stages() const override { return 2; }
  Need need(int stage) const override { return stage == 0 ? Need{} : after(Counter::filled, 1); }
  NodeOperation description() const override { return describe(count_of(call())); }
  void act(int stage) override {
    if (stage == 1) return finish();
    place_ = channel().take_place(call().in ? call().in.bytes() : 0);
    const bool speaks = call().in && (call().kind != Collective::broadcast || call().peer == rank());
    if (speaks) std::memcpy(data(rank()), call().in.raw(), call().in.bytes());
    sync().publish(Counter::filled);
  }

 private:
  std::byte* data(int of) const { return slot(of, place_); }

  void finish() {
    check_same();
    auto* out = call().out ? static_cast<std::byte*>(call().out.raw()) : nullptr;
    if (call().kind == Collective::all_gather) {
      for (int r = 0; r < size(); ++r) {
        std::memcpy(out + call().in.bytes() * static_cast<std::size_t>(r), data(r), call().in.bytes());
      }
    } else if (call().kind == Collective::broadcast) {
      if (call().peer != rank()) std::memcpy(out, data(call().peer), call().out.bytes());
    } else if (call().kind != Collective::barrier) {
      const bool scatters = call().kind == Collective::reduce_scatter;
      const std::size_t first = scatters ? call().out.bytes() * static_cast<std::size_t>(rank()) : 0;
      auto& sources = no_sources();
      for (int r = 0; r < size(); ++r) sources.push_back(data(r) + first);
      reduce_in_rank_order({call().in.dtype(), call().reduction, sources, {&out, 1}, call().out.elements()});
    }
  }

  std::size_t place_ = 0;
};

}  // namespace

std::size_t WindowChannel::take_place(std::size_t bytes) {
  const std::size_t wanted = (bytes + 127) / 128 * 128;
  if (next_place + wanted > layout.total()) next_place = 0;
  return std::exchange(next_place, next_place + wanted);
}

std::shared_ptr<Work> direct_operation(WindowCall& call) {
  const Call& c = call.call;
  if (c.kind != Collective::all_reduce || c.in.raw() != c.out.raw()) return nullptr;
  const auto& windows = call.channel->windows;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    auto window = windows[i].lock();
    const auto offset = window ? window->offset_of(c.in.raw()) : std::nullopt;
    if (!offset) continue;
    NodeOperation place;
    place.offset = narrow<std::int64_t>(*offset);
    place.window = narrow<std::int32_t>(i);
    return std::make_shared<DirectAllReduce>(std::move(call), std::move(window), place);
  }
  return nullptr;
}

std::shared_ptr<Work> staged_operation(WindowCall&& call) { return std::make_shared<StagedAllReduce>(std::move(call)); }

std::shared_ptr<Work> small_operation(WindowCall&& call) { return std::make_shared<SmallOperation>(std::move(call)); }

}  // namespace trireme
