// Attention kernels: the same text on teams of 1, 3, 4 and 32 lanes, f32 and f64, against a plain f64 loop that makes
// all probabilities; a cache that grows gives the bits of the whole sequence.
#include <fmt/format.h>

#include "core/kernels/attention.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using test::as;
using test::expect_near;
using test::unset;
using test::Values;

struct AttentionCase {
  int lanes;
  std::int64_t batch, time, heads, kv_heads, head_size, window;
  bool causal, documents;
  std::string text() const {
    return fmt::format("lanes{}_{}x{}_heads{}of{}_size{}_window{}{}{}", lanes, batch, time, heads, kv_heads, head_size,
                       window, causal ? "" : "_all", documents ? "_documents" : "");
  }
};

/// What a plain loop finds.
struct Reference {
  Values y, log_sum, dqkv;
};

class AttentionKernels : public testing::TestWithParam<AttentionCase> {
 protected:
  const AttentionCase c = GetParam();
  const std::int64_t width = (c.heads + 2 * c.kv_heads) * c.head_size;
  const Values qkv = test::normal_values(c.batch * c.time * width, 1);
  const Values dy = test::normal_values(c.batch * c.time * c.heads * c.head_size, 2);
  std::vector<std::int32_t> starts;

  AttentionKernels() {
    for (std::int64_t i = 0; i < c.batch * c.time; ++i)  // documents of 5 tokens
      starts.push_back(static_cast<std::int32_t>(i % c.time / 5 * 5));
  }
  template <class T>
  kernels::AttentionRows<T> rows_of(const std::vector<T>& packed) const {
    return {.queries = packed.data(),
            .keys = packed.data() + c.heads * c.head_size,
            .values = packed.data() + (c.heads + c.kv_heads) * c.head_size,
            .query_stride = width,
            .key_stride = width,
            .key_room = c.time,
            .time = c.time,
            .heads = c.heads,
            .kv_heads = c.kv_heads,
            .head_size = c.head_size,
            .lengths = nullptr,
            .document_start = c.documents ? starts.data() : nullptr,
            .window = c.window,
            .causal = c.causal ? 1u : 0u,
            .scale = T(0.5)};
  }
  Reference reference() const;
  void query(Reference& out, const kernels::AttentionRows<double>& in,
             const kernels::AttentionRows<double>::Query& q) const;
  template <class T>
  void check(double tolerance) const;
};

void AttentionKernels::query(Reference& out, const kernels::AttentionRows<double>& in,
                             const kernels::AttentionRows<double>::Query& q) const {
  const std::int64_t n = c.head_size, at = in.output_at(q);
  const double* const packed = qkv.data();
  const auto sees = [&](std::int64_t j) {
    const std::int64_t start = c.documents ? starts[static_cast<std::size_t>(q.b * c.time + q.t)] : 0;
    return (!c.causal || j <= q.t) && (c.window == 0 || q.t - j < c.window) && j >= start;
  };
  const auto dot = [n](const double* a, const double* b) {
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) total += a[i] * b[i];
    return total;
  };
  double sum = 0, delta = 0;
  Values p(static_cast<std::size_t>(c.time), 0), dp = p;
  for (std::int64_t j = 0; j < c.time; ++j) {
    const auto k = static_cast<std::size_t>(j);
    if (sees(j)) p[k] = std::exp(0.5 * dot(in.query(q), in.keys + in.key_at(q.b, j, q.h)));
    sum += p[k];
    dp[k] = dot(dy.data() + at, in.values + in.key_at(q.b, j, q.h));
  }
  out.log_sum[static_cast<std::size_t>(in.row_of(q))] = std::log(sum);
  for (double& value : p) value /= sum;
  for (std::size_t k = 0; k < p.size(); ++k) delta += p[k] * dp[k];
  for (std::int64_t j = 0; j < c.time; ++j) {
    const auto k = static_cast<std::size_t>(j);
    const double ds = 0.5 * p[k] * (dp[k] - delta);
    const std::int64_t key = in.keys - packed + in.key_at(q.b, j, q.h), value = key + c.kv_heads * n;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t query = in.query(q) - packed + i;
      out.y[static_cast<std::size_t>(at + i)] += p[k] * packed[value + i];
      out.dqkv[static_cast<std::size_t>(query)] += ds * packed[key + i];
      out.dqkv[static_cast<std::size_t>(key + i)] += ds * packed[query];
      out.dqkv[static_cast<std::size_t>(value + i)] += p[k] * dy[static_cast<std::size_t>(at + i)];
    }
  }
}

Reference AttentionKernels::reference() const {
  Reference out{Values(dy.size(), 0), Values(static_cast<std::size_t>(c.batch * c.heads * c.time), 0),
                Values(qkv.size(), 0)};
  const auto in = rows_of<double>(qkv);
  for (std::int64_t row = 0; row < c.batch * c.heads * c.time; ++row) query(out, in, in.of_row(row));
  return out;
}

template <class T>
void AttentionKernels::check(double tolerance) const {
  const auto packed = as<T>(qkv), gradient = as<T>(dy);
  const Reference want = reference();
  auto y = unset<T>(static_cast<std::int64_t>(dy.size())), log_sum = unset<T>(c.batch * c.heads * c.time);
  auto delta = log_sum, dqkv = unset<T>(static_cast<std::int64_t>(qkv.size()));
  const auto in = rows_of<T>(packed);
  const std::int64_t queries = c.batch * c.heads * c.time;
  test::run_rows(c.lanes, queries, kernels::AttentionForward<T>{in, y.data(), log_sum.data()});
  expect_near(y, want.y, tolerance, "output");
  expect_near(log_sum, want.log_sum, tolerance, "log of the sum");
  kernels::AttentionGradientRows<T> g{in, y.data(), gradient.data(), log_sum.data(), delta.data(), dqkv.data(), 0};
  test::run_rows(c.lanes, queries, kernels::AttentionDelta<T>{g});
  test::run_rows(c.lanes, queries, kernels::AttentionQueryGradient<T>{g});
  test::run_rows(c.lanes, c.batch * c.kv_heads * c.time, kernels::AttentionKeyGradient<T>{g});
  expect_near(dqkv, want.dqkv, 4 * tolerance, "gradient");
}

TEST_P(AttentionKernels, F32) { check<float>(4e-6); }
TEST_P(AttentionKernels, F64) { check<double>(1e-13); }

INSTANTIATE_TEST_SUITE_P(
    Cases, AttentionKernels,
    testing::Values(AttentionCase{1, 2, 77, 2, 1, 20, 0, true, false},
                    AttentionCase{1, 1, 70, 2, 2, 16, 0, false, false},
                    AttentionCase{1, 1, 150, 1, 1, 5, 70, true, false}, AttentionCase{1, 2, 13, 2, 2, 8, 3, true, true},
                    AttentionCase{3, 2, 6, 2, 1, 20, 0, true, false}, AttentionCase{4, 1, 7, 2, 2, 17, 3, true, false},
                    AttentionCase{4, 1, 6, 2, 2, 1, 0, true, true}, AttentionCase{32, 1, 5, 2, 1, 40, 0, true, false},
                    AttentionCase{32, 1, 4, 1, 1, 140, 0, false, false}),
    [](const auto& row) { return row.param.text(); });

TEST(AttentionKernelsAlone, WhoSeesNothingGetsNoGradient) {
  // query 0 may see nothing before key 1, which is behind it; nobody sees key 0
  constexpr std::int64_t width = 6;
  const auto packed = as<double>(test::normal_values(2 * width, 3)), dy = as<double>(test::normal_values(4, 4));
  const std::vector<std::int32_t> starts{1, 1};
  const kernels::AttentionRows<double> in{packed.data(),
                                          packed.data() + 2,
                                          packed.data() + 4,
                                          width,
                                          width,
                                          2,
                                          2,
                                          1,
                                          1,
                                          2,
                                          nullptr,
                                          starts.data(),
                                          0,
                                          1,
                                          1.0};
  auto y = unset<double>(4), log_sum = unset<double>(2), delta = log_sum, dqkv = unset<double>(2 * width);
  test::run_rows(3, 2, kernels::AttentionForward<double>{in, y.data(), log_sum.data()});
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
  const kernels::AttentionGradientRows<double> g{in, y.data(), dy.data(), log_sum.data(), delta.data(), dqkv.data(), 0};
  test::run_rows(3, 2, kernels::AttentionDelta<double>{g});
  test::run_rows(3, 2, kernels::AttentionQueryGradient<double>{g});
  test::run_rows(3, 2, kernels::AttentionKeyGradient<double>{g});
  const Values want{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, dy[2], dy[3]};
  expect_near(dqkv, want, 1e-12, "gradient");
}

TEST(AttentionCacheKernel, AGrowingCacheGivesTheBitsOfTheWholeSequence) {
  constexpr std::int64_t time = 140, heads = 2, n = 20, width = 3 * heads * n, room = 150, keys_width = heads * n;
  const auto packed = as<float>(test::normal_values(time * width, 3));
  kernels::AttentionRows<float> in{packed.data(),
                                   packed.data() + heads * n,
                                   packed.data() + 2 * heads * n,
                                   width,
                                   width,
                                   time,
                                   time,
                                   heads,
                                   heads,
                                   n,
                                   nullptr,
                                   nullptr,
                                   0,
                                   1,
                                   0.3f};
  auto whole = unset<float>(time * heads * n), log_sum = unset<float>(heads * time);
  test::run_rows(1, heads * time, kernels::AttentionForward<float>{in, whole.data(), log_sum.data()});
  auto keys = unset<float>(room * keys_width), values = keys;
  std::int32_t length = 0;
  for (const std::int32_t count : {3, 64, 1, 1, 60, 11}) {
    const float* const first = packed.data() + length * width;
    test::run_rows(
        1, count,
        kernels::AttentionAppend<float>{first, keys.data(), values.data(), &length, count, room, width, keys_width});
    kernels::AttentionRows<float> cached{first, keys.data(), values.data(), width,   keys_width, room, count, heads,
                                         heads, n,           &length,       nullptr, 0,          1,    0.3f};
    auto y = unset<float>(count * heads * n), sums = unset<float>(heads * count);
    test::run_rows(1, heads * count, kernels::AttentionForward<float>{cached, y.data(), sums.data()});
    for (std::int64_t i = 0; i < count * heads * n; ++i)
      ASSERT_EQ(y[static_cast<std::size_t>(i)], whole[static_cast<std::size_t>(length * heads * n + i)])
          << "after " << length << ", element " << i;
    length += count;
  }
  EXPECT_EQ(length, time);
}

TEST(AttentionCacheKernel, WhatDoesNotFitIsLeftOutAndNotANumber) {
  const auto packed = as<float>(test::normal_values(2 * 6, 3));
  std::vector<float> keys(2 * 2, 7.0f), values = keys;
  const std::int32_t length = 1;
  test::run_rows(4, 2, kernels::AttentionAppend<float>{packed.data(), keys.data(), values.data(), &length, 2, 2, 6, 2});
  EXPECT_EQ(keys, (std::vector<float>{7, 7, packed[2], packed[3]}));
  const kernels::AttentionRows<float> in{
      packed.data(), keys.data(), values.data(), 6, 2, 2, 2, 1, 1, 2, &length, nullptr, 0, 1, 1.0f};
  auto y = unset<float>(4), log_sum = unset<float>(2);
  test::run_rows(4, 2, kernels::AttentionForward<float>{in, y.data(), log_sum.data()});
  EXPECT_TRUE(std::isfinite(y[0]) && std::isfinite(y[1]));
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[3]));
}

}  // namespace
}  // namespace trireme
