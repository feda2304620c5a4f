// What every communicator must do, wherever its tensors lie: the checks that the suite of host memory and that of GPUs
// share. Values are small integers, so every sum is exact in every type.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "core/base/checked.hpp"
#include "core/tensor/convert.hpp"

namespace trireme::test {

inline const std::vector<DType> all_types{DType::f32, DType::f64, DType::bf16, DType::f16,
                                          DType::i32, DType::i64, DType::u8,   DType::u16};

inline int value_of(int rank, std::int64_t i) { return (rank * 7 + static_cast<int>(i % 5)) % 11; }

inline int expected(Reduction reduction, int size, std::int64_t i) {
  int out = value_of(0, i);
  for (int r = 1; r < size; ++r) {
    const int v = value_of(r, i);
    if (reduction == Reduction::sum) out += v;
    if (reduction == Reduction::max) out = std::max(out, v);
    if (reduction == Reduction::min) out = std::min(out, v);
  }
  return out;
}

/// How many elements differ from value(i).
template <class F>
int wrong(const Tensor& tensor, F&& value) {
  int bad = 0;
  with_element_type(tensor.dtype(), [&](auto zero) {
    std::int64_t i = 0;
    for (const auto x : tensor.to_vector<decltype(zero)>())
      bad += static_cast<double>(static_cast<float>(x)) != static_cast<double>(value(i++));
  });
  return bad;
}

class CollectiveTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// The types and element counts a check goes through.
  struct Range {
    std::vector<DType> types;
    std::vector<std::int64_t> counts;
  };

  void use(std::shared_ptr<Communicator> comm, Device device) {
    comm_ = std::move(comm);
    device_ = device;
    rank_ = comm_->rank();
    size_ = comm_->size();
  }
  /// n elements value(i), where the communicator's tensors lie.
  template <class F>
  Tensor filled(std::int64_t n, DType dtype, F&& value) const {
    Tensor out;
    with_element_type(dtype, [&](auto zero) {
      using T = decltype(zero);
      std::vector<T> values(to_size(n));
      for (std::int64_t i = 0; i < n; ++i) values[to_size(i)] = static_cast<T>(static_cast<float>(value(i)));
      out = Tensor::from(values, {n}, device_);
    });
    return out;
  }

  void check_all_reduce(const Range& range) const {
    for (const auto dtype : range.types) {
      for (const auto n : range.counts) {
        for (const auto op : {Reduction::sum, Reduction::max, Reduction::min}) {
          const auto in = filled(n, dtype, [&](auto i) { return value_of(rank_, i); });
          const auto out = filled(n, dtype, [](auto) { return 99; });
          comm_->all_reduce(in, out, op).wait();
          const auto want = [&](auto i) { return expected(op, size_, i); };
          EXPECT_EQ(wrong(out, want), 0) << name_of(dtype) << " x " << n;
          EXPECT_EQ(wrong(in, [&](auto i) { return value_of(rank_, i); }), 0) << "the input was changed";
          comm_->all_reduce(in, op).wait();
          EXPECT_EQ(wrong(in, want), 0) << name_of(dtype) << " x " << n << " in place";
        }
      }
    }
  }

  void check_gathers(const Range& range) const {
    for (const auto dtype : range.types) {
      for (const auto n : range.counts) {
        const auto mine = filled(n, dtype, [&](auto i) { return value_of(rank_, i); });
        const auto all = filled(n * size_, dtype, [](auto) { return 99; });
        const auto piece_of = [&](auto i) { return value_of(static_cast<int>(i / n), i % n); };
        comm_->all_gather(mine, all).wait();
        EXPECT_EQ(wrong(all, piece_of), 0) << "all_gather of " << n;
        const int root = size_ - 1;
        const auto gathered = filled(n * size_, dtype, [](auto) { return 99; });
        comm_->gather_to(root, mine, rank_ == root ? gathered : Tensor{}).wait();
        if (rank_ == root) {
          EXPECT_EQ(wrong(gathered, piece_of), 0) << "gather of " << n;
        }
        const auto back = filled(n, dtype, [](auto) { return 99; });
        comm_->scatter_from(root, rank_ == root ? gathered : Tensor{}, back).wait();
        EXPECT_EQ(wrong(back, [&](auto i) { return value_of(rank_, i); }), 0) << "scatter of " << n;
        const auto sent = filled(n, dtype, [&](auto i) { return rank_ == root ? value_of(5, i) : 99; });
        comm_->broadcast(sent, root).wait();
        EXPECT_EQ(wrong(sent, [](auto i) { return value_of(5, i); }), 0) << "broadcast of " << n;
      }
    }
  }

  void check_reduce_scatter(const Range& range) const {
    for (const auto dtype : range.types) {
      for (const auto n : range.counts) {
        const auto all = filled(n * size_, dtype, [&](auto i) { return value_of(rank_, i); });
        const auto mine = filled(n, dtype, [](auto) { return 99; });
        comm_->reduce_scatter(all, mine).wait();
        EXPECT_EQ(wrong(mine, [&](auto i) { return expected(Reduction::sum, size_, i + n * rank_); }), 0) << n;
        const auto total = filled(n * size_, dtype, [](auto) { return 99; });
        comm_->reduce_to(0, all, rank_ == 0 ? total : Tensor{}, Reduction::max).wait();
        if (rank_ == 0) {
          EXPECT_EQ(wrong(total, [&](auto i) { return expected(Reduction::max, size_, i); }), 0) << n;
        }
        const auto exchanged = filled(n * size_, dtype, [](auto) { return 99; });
        comm_->all_to_all(all, exchanged).wait();
        const auto from = [&](auto i) { return value_of(static_cast<int>(i / n), i % n + n * rank_); };
        EXPECT_EQ(wrong(exchanged, from), 0) << n;
      }
    }
  }

  void check_ring() const {
    const int next = (rank_ + 1) % size_, last = (rank_ + size_ - 1) % size_;
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{3}, std::int64_t{200000}}) {
      const auto mine = filled(n, DType::f32, [&](auto i) { return value_of(rank_, i); });
      const auto got = filled(n, DType::f32, [](auto) { return 99; });
      auto sending = comm_->send(mine, next, 3);
      auto receiving = comm_->recv(got, last, 3);
      receiving.wait();
      sending.wait();
      EXPECT_EQ(wrong(got, [&](auto i) { return value_of(last, i); }), 0) << n;
      comm_->exchange(mine, last, got, next);
      EXPECT_EQ(wrong(got, [&](auto i) { return value_of(next, i); }), 0) << n;
    }
  }

  /// Every rank waits in another order.
  void check_any_order() const {
    std::vector<Tensor> values;
    std::vector<Event> events;
    for (int k = 0; k < 12; ++k) {
      values.push_back(filled(5000 * k + 1, DType::f32, [&](auto i) { return value_of(rank_ + k, i); }));
      events.push_back(comm_->all_reduce(values.back()));
      if (k % 4 == 3) events.push_back(comm_->barrier());
      if (k % 3 == 1) comm_->progress();
    }
    // There are 15 of them, and 7 is prime to that: each is waited for.
    for (std::size_t k = 0; k < events.size(); ++k) events[(k * 7 + to_size(rank_)) % events.size()].wait();
    for (const auto& event : events) event.wait();  // again: nothing happens
    for (int k = 0; k < 12; ++k) {
      const auto sum = [&](auto i) {
        int out = 0;
        for (int r = 0; r < size_; ++r) out += value_of(r + k, i);
        return out;
      };
      EXPECT_EQ(wrong(values[to_size(k)], sum), 0) << k;
    }
  }

  std::shared_ptr<Communicator> comm_;
  Device device_ = Device::cpu();
  int rank_ = 0, size_ = 1;
};

}  // namespace trireme::test
