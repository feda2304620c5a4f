// NCCL as a script, for tests of what stands on it: what it answers is set by the test, what it is asked is written
// down, and time passes only when somebody waits for it. Its "GPU" is the meta device.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/nccl_communicator.hpp"
#include "comm/rendezvous.hpp"
#include "core/base/error.hpp"

namespace trireme::test {

using Trace = std::shared_ptr<std::vector<std::string>>;

/// A second goes by in every pause.
class FakeClock final : public nccl::Clock {
 public:
  Time now() override { return Time{} + std::chrono::seconds(seconds_); }
  void pause() override {
    ++seconds_;
    for (auto it = events_.begin(); it != events_.end() && it->first <= seconds_; it = events_.erase(it)) it->second();
  }
  void at(int seconds, std::function<void()> event) { events_.emplace(seconds, std::move(event)); }
  int seconds() const { return seconds_; }

 private:
  int seconds_ = 0;
  std::multimap<int, std::function<void()>> events_;
};

class FakeNccl final : public nccl::Api {
 public:
  using Status = nccl::Status;
  static constexpr int for_ever = 1 << 30;

  explicit FakeNccl(Trace trace) : trace_(std::move(trace)) {}

  int starting = 3;    // looks until a start is done
  int sending = 0;     // looks until a call is on the stream
  int split_rank = 0;  // the rank that a split gives
  Status id_result = Status::success, init_result = Status::in_progress, call_result = Status::success;
  Status grouped_result = Status::success;  // of a call inside a group
  Status behind = Status::success;          // what state() says when nothing is in progress
  int aborted = 0, destroyed = 0;

  Status make_id(nccl::Id& id) override {
    id.fill('x');
    return id_result;
  }
  Status init(nccl::Comm& comm, const nccl::Id& id, const nccl::Member& who) override {
    say(fmt::format("init {} of {} as {} with {}", who.rank, who.ranks, who.name, id[0]));
    comm = this;
    looks_ = starting;
    return init_result;
  }
  Status split(nccl::Comm, nccl::Comm& part, const nccl::Colour& colour) override {
    say(fmt::format("split colour {} key {}", colour.colour, colour.key));
    if (colour.colour >= 0) part = &looks_;
    looks_ = starting;
    return init_result;
  }
  Status rank_of(nccl::Comm, int& rank) override {
    rank = split_rank;
    return Status::success;
  }
  Status state(nccl::Comm) override {
    if (looks_ <= 0) return behind;
    --looks_;
    return Status::in_progress;
  }
  std::string explain(nccl::Comm, Status) override { return "the fake's reason"; }
  Status finalize(nccl::Comm) override { return Status::success; }
  Status destroy(nccl::Comm) override {
    ++destroyed;
    return Status::success;
  }
  void abort(nccl::Comm) override {
    ++aborted;
    say("abort");
  }
  Status group_start() override {
    say("(");
    grouped_ = true;
    return Status::success;
  }
  Status group_end() override {
    say(")");
    grouped_ = false;
    return sent();
  }
  Status enqueue(const nccl::Transfer& t, nccl::Comm, const Stream&) override {
    constexpr std::string_view names[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast",
                                          "reduce",     "send",           "recv"};
    auto text = fmt::format("{} {} x {}", names[static_cast<std::size_t>(t.operation)], name_of(t.dtype), t.count);
    if (t.operation == nccl::Operation::send || t.operation == nccl::Operation::recv)
      text += fmt::format(" {} {}", t.operation == nccl::Operation::send ? "to" : "from", t.peer);
    say(text);
    return grouped_ ? grouped_result : sent();
  }
  Status allocate(nccl::Block& block) override {
    memory_.emplace_back(block.bytes);
    block.data = memory_.back().data();
    return Status::success;
  }
  void release(const nccl::Block&) override { say("release"); }
  Status register_memory(nccl::Comm, const nccl::Block& block, void*& handle) override {
    say(fmt::format("register {}", block.bytes));
    handle = this;
    return Status::success;
  }
  Status unregister(nccl::Comm, void*) override {
    say("unregister");
    return Status::success;
  }

 private:
  void say(std::string text) { trace_->push_back(std::move(text)); }
  Status sent() {
    if (call_result != Status::success || sending == 0) return call_result;
    looks_ = sending;
    return Status::in_progress;
  }

  Trace trace_;
  int looks_ = 0;
  bool grouped_ = false;
  std::vector<std::vector<std::byte>> memory_;
};

/// Marks are passed when the test says so.
class FakeQueue final : public nccl::Queue {
 public:
  explicit FakeQueue(Trace trace) : trace_(std::move(trace)) {}
  int marks = 0, passed = 0;
  std::string device_error = {};

  const Stream& stream() const override { return stream_; }
  const Stream& compute() const override { return compute_; }
  void join_compute() override { trace_->push_back("join"); }
  std::unique_ptr<nccl::Mark> mark() override {
    trace_->push_back("mark");
    return std::make_unique<FakeMark>(*this, ++marks);
  }

 private:
  class FakeMark final : public nccl::Mark {
   public:
    FakeMark(FakeQueue& queue, int number) : queue_(queue), number_(number) {}
    bool done() override {
      if (!queue_.device_error.empty()) fail(ExitCode::failure, "{}", queue_.device_error);
      return number_ <= queue_.passed;
    }
    Event event(std::shared_ptr<Completion> completion) override { return Event(std::move(completion)); }

   private:
    FakeQueue& queue_;
    int number_;
  };

  Trace trace_;
  Stream stream_{Device::meta()}, compute_{Device::meta()};
};

/// The communicator below: its other ranks say, in each meeting, what the test lets them say.
class ScriptedBase final : public Communicator {
 public:
  ScriptedBase(Identity identity, Trace trace)
      : Communicator(std::move(identity), std::make_shared<CollectiveLog>()), trace_(std::move(trace)) {}

  /// By rank and meeting; no text: never comes. What is not set here is well.
  std::map<std::pair<int, int>, std::optional<std::string>> texts;
  std::shared_ptr<Communicator> part;

  std::shared_ptr<Communicator> split(int, int, const std::string&) override { return part; }
  Event execute(const Call& call, CollectiveLog::Ticket ticket) override {
    ticket.started();
    ticket.finished();
    if (call.kind == Collective::send) return {};
    if (call.kind != Collective::recv) {
      trace_->push_back(fmt::format("base {}", name_of(call.kind)));
      return {};
    }
    const std::pair place{call.source, meetings_[call.source]++};
    const auto found = texts.find(place);
    auto completion = std::make_shared<Completion>();
    if (found == texts.end() || found->second) {
      const auto usual = place.second == 0 ? "." + std::string(sizeof(nccl::Id), 'y') : std::string(".");
      call.out.copy_from(meeting_record(found == texts.end() ? usual : *found->second));
      completion->finish();
    }
    return Event(std::move(completion));
  }

 private:
  Trace trace_;
  std::map<int, int> meetings_;
};

}  // namespace trireme::test
