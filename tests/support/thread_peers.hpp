// Threads of one process as the parts of a split batch, for tests of what goes through Peers: tensors of f64 on the
// CPU. Counts its messages.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <vector>

#include "core/tape/peers.hpp"

namespace trireme {

class ThreadPeers final : public Peers {
 public:
  struct Shared {
    explicit Shared(int parts) : arrival(parts), tensors(static_cast<std::size_t>(parts)) {}
    std::barrier<> arrival;
    std::vector<Tensor> tensors;
    std::atomic<int> messages{0};
  };
  ThreadPeers(Shared& shared, int part) : shared_(shared), part_(part) {}
  int part() const override { return part_; }
  int parts() const override { return static_cast<int>(shared_.tensors.size()); }
  void sum(const Tensor& values) override {
    const std::vector<double> total = added(values);
    std::copy(total.begin(), total.end(), values.span<double>().begin());
    shared_.arrival.arrive_and_wait();
  }
  void gather(const Tensor& mine, const Tensor& all) override {
    post(mine);
    auto to = all.span<double>().begin();
    for (const Tensor& t : shared_.tensors) to = std::copy(t.span<double>().begin(), t.span<double>().end(), to);
    shared_.arrival.arrive_and_wait();
  }
  void scatter_sum(const Tensor& all, const Tensor& mine) override {
    const std::vector<double> total = added(all);
    const auto first = total.begin() + part_ * mine.elements();
    std::copy(first, first + mine.elements(), mine.span<double>().begin());
  }
  void exchange(const Tensor&, int, const Tensor&, int) override { FAIL() << "no test exchanges"; }

 private:
  void post(const Tensor& values) {
    if (part_ == 0) ++shared_.messages;
    shared_.tensors[static_cast<std::size_t>(part_)] = values;
    shared_.arrival.arrive_and_wait();
  }
  /// The sum over all parts, in part order; nobody has changed its values before all have read them.
  std::vector<double> added(const Tensor& values) {
    post(values);
    std::vector<double> total(static_cast<std::size_t>(values.elements()), 0.0);
    for (const Tensor& t : shared_.tensors)
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += t.span<double>()[i];
    shared_.arrival.arrive_and_wait();
    return total;
  }
  Shared& shared_;
  int part_;
};

}  // namespace trireme
