// Communicators of N ranks that are threads of one process, for tests of what stands on communicators: every call waits
// until all ranks have made the same one, and says so when they have not. Calls complete when the test lets them.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.hpp"
#include "core/base/error.hpp"

namespace trireme::test {

/// Where fake ranks meet.
class Hub {
 public:
  explicit Hub(int size) : size_(size) {}
  int size() const { return size_; }

  /// Joins the `number`-th call of this rank; the last to come does the arithmetic.
  void join(std::uint64_t number, int rank, const Call& call, std::shared_ptr<Completion> completion) {
    const std::lock_guard lock(guard_);
    auto& round = rounds_[number];
    round.resize(static_cast<std::size_t>(size_));
    round[static_cast<std::size_t>(rank)] = {call, std::move(completion)};
    for (const auto& one : round) {
      if (!one.completion) return;
    }
    try {
      finish(round);
    } catch (...) {
      for (auto& one : round) one.completion->fail(std::current_exception());
    }
    rounds_.erase(number);
  }

 private:
  struct One {
    Call call;
    std::shared_ptr<Completion> completion;
  };

  void finish(std::vector<One>& round) {
    const Call& first = round.front().call;
    for (const auto& one : round) {
      if (one.call.kind != first.kind || count_of(one.call) != count_of(first)) {
        throw std::runtime_error("the ranks made different calls");
      }
    }
    if (first.kind == Collective::all_reduce) {
      std::vector<double> sum(static_cast<std::size_t>(count_of(first)), 0.0);
      for (const auto& one : round)
        visit(one.call.in, [&](std::size_t i, auto& x) { sum[i] += static_cast<double>(x); });
      for (const auto& one : round) {
        visit(one.call.out,
              [&](std::size_t i, auto& x) { x = static_cast<std::remove_reference_t<decltype(x)>>(sum[i]); });
      }
    } else if (first.kind == Collective::all_gather) {
      for (std::size_t r = 0; r < round.size(); ++r) {
        for (const auto& one : round) {
          const auto n = round[r].call.in.elements();
          one.call.out.reshape({size_, n}).slice(static_cast<std::int64_t>(r), 1).copy_from(round[r].call.in);
        }
      }
    }
    for (auto& one : round) one.completion->finish();
  }

  template <class F>
  static void visit(const Tensor& tensor, F&& f) {
    std::size_t i = 0;
    if (tensor.dtype() == DType::f64) {
      for (double& x : tensor.span<double>()) f(i++, x);
    } else {
      for (float& x : tensor.span<float>()) f(i++, x);
    }
  }

  int size_;
  std::mutex guard_;
  std::map<std::uint64_t, std::vector<One>> rounds_;
};

class FakeCommunicator final : public Communicator {
 public:
  FakeCommunicator(std::shared_ptr<Hub> hub, int rank)
      : Communicator({.name = "fake",
                      .rank = rank,
                      .hosts = std::vector<std::string>(static_cast<std::size_t>(hub->size()), "here")},
                     std::make_shared<CollectiveLog>()),
        hub_(std::move(hub)) {}

  std::shared_ptr<Communicator> split(int, int, const std::string&) override { return nullptr; }
  Event execute(const Call& call, CollectiveLog::Ticket ticket) override {
    ticket.started();
    auto completion = std::make_shared<Completion>();
    counts.push_back(count_of(call));
    hub_->join(next_++, rank(), call, completion);
    ticket.finished();
    return Event(std::move(completion));
  }

  std::vector<std::int64_t> counts;  // of every call made

 private:
  std::shared_ptr<Hub> hub_;
  std::uint64_t next_ = 0;
};

/// Runs `body` as `ranks` ranks at once; rethrows the first error.
inline void run_ranks(int ranks, const std::function<void(const std::shared_ptr<FakeCommunicator>&)>& body) {
  const auto hub = std::make_shared<Hub>(ranks);
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(ranks));
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      try {
        body(std::make_shared<FakeCommunicator>(hub, r));
      } catch (...) {
        errors[static_cast<std::size_t>(r)] = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace trireme::test
