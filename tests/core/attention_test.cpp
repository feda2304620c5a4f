// Attention on the CPU: the fast f32 form against the common text in f64, with any mask, grouping and odd sizes; the
// same bits for any number of threads; generation with a cache gives the bits of the whole sequence.
#include "core/ops/attention.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include "core/kernels/block_product.hpp"
#include "tests/support/devices.hpp"

namespace trireme {
namespace {

using ops::AttentionOptions;
using ops::Backend;

struct NoParameters final : GradientStore {
  Destination acquire(Parameter&) override { return {}; }
  void ready(Parameter&) override {}
};

struct Case {
  std::int64_t batch, time;
  AttentionOptions options;
  std::int64_t document = 0;  ///< Tokens of each document; 0: no documents.
  std::int64_t width() const { return (options.heads + 2 * options.kv_heads) * options.head_size; }
  std::string text() const {
    return fmt::format("{}x{}, {} heads of {}, {} for keys, window {}, documents {}, mask {}", batch, time,
                       options.heads, options.head_size, options.kv_heads, options.window, document,
                       static_cast<int>(options.mask));
  }
};

struct AttentionResult {
  std::vector<double> y, dqkv;
};

class Attention : public testing::Test {
 protected:
  Stream stream;
  StepAllocator memory{Device::cpu()};

  template <class T>
  AttentionResult compute(Case c, Backend backend) {
    NoParameters store;
    Tape tape(store);
    StepState state;
    Context context(stream, memory);
    context.begin_training({.tape = &tape, .state = &state});
    if (c.document > 0) {
      std::vector<std::int32_t> starts;
      for (std::int64_t i = 0; i < c.batch * c.time; ++i)
        starts.push_back(static_cast<std::int32_t>(i % c.time / c.document * c.document));
      c.options.document_start = Tensor::from(starts, {c.batch, c.time});
    }
    const auto values = [](std::int64_t n, unsigned seed) {
      std::vector<T> out;
      for (const float v : test::normal<float>(n, seed)) out.push_back(static_cast<T>(v));
      return out;
    };
    const Value x = tape.watch(Tensor::from(values(c.batch * c.time * c.width(), 1), {c.batch, c.time, c.width()}));
    const Value y = ops::attention(context, x, c.options, backend);
    const Tensor dy = Tensor::from(values(y.elements(), 2), y.shape());
    const Value loss = context.record({"weigh", {&y, 1}, [dy](Context&, Gradients& g) { g.hand_over(0, dy.clone()); }},
                                      Tensor::zeros({1}, y.dtype()));
    const auto found = test::as_double(y.tensor().to_vector<T>());
    tape.backward(context, loss, 1);
    return {found, test::as_double(tape.gradient_of(x).template to_vector<T>())};
  }
};

const Case cases[] = {
    {2, 64, {.heads = 2, .kv_heads = 2, .head_size = 64}},
    {1, 1, {.heads = 1, .kv_heads = 1, .head_size = 1}},
    {3, 5, {.heads = 2, .kv_heads = 1, .head_size = 7}},
    {1, 63, {.heads = 1, .kv_heads = 1, .head_size = 80}},
    {1, 65, {.heads = 3, .kv_heads = 3, .head_size = 16}},
    {2, 150, {.heads = 4, .kv_heads = 2, .head_size = 24}},
    {1, 300, {.heads = 2, .kv_heads = 1, .head_size = 33, .scale = 0.5}},
    {1, 300, {.heads = 1, .kv_heads = 1, .head_size = 20, .window = 70}},
    {1, 200, {.heads = 1, .kv_heads = 1, .head_size = 20, .window = 1}},
    {2, 130, {.heads = 2, .kv_heads = 2, .head_size = 8, .window = 33}, 50},
    {2, 257, {.heads = 1, .kv_heads = 1, .head_size = 12}, 7},
    {1, 257, {.heads = 1, .kv_heads = 1, .head_size = 12}, 129},
    {2, 100, {.heads = 2, .kv_heads = 2, .head_size = 17, .mask = AttentionOptions::Mask::none}},
    {1, 1, {.heads = 2, .kv_heads = 1, .head_size = 16, .mask = AttentionOptions::Mask::none}},
};

TEST_F(Attention, TheFastFormAgreesWithTheCommonTextInF64) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text());
    const AttentionResult want = compute<double>(c, Backend::best);
    for (const Backend backend : {Backend::best, Backend::reference}) {
      const AttentionResult got = compute<float>(c, backend);
      test::expect_near(got.y, want.y, 2e-5);
      test::expect_near(got.dqkv, want.dqkv, 1e-4);
    }
  }
}

TEST_F(Attention, TheBitsDoNotDependOnTheNumberOfThreads) {
  const int before = omp_get_max_threads();
  for (const Case& c : cases) {
    omp_set_num_threads(1);
    const AttentionResult one = compute<float>(c, Backend::best);
    for (const int threads : {2, 3}) {
      omp_set_num_threads(threads);
      const AttentionResult several = compute<float>(c, Backend::best);
      EXPECT_EQ(one.y, several.y) << c.text();
      EXPECT_EQ(one.dqkv, several.dqkv) << c.text();
    }
  }
  omp_set_num_threads(before);
}

/// Rows of a batch cut into pieces of `counts` tokens, one after the other through a cache.
template <class T>
void check_cache(const Case& c, const std::vector<std::int32_t>& counts) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  const auto values = test::normal<float>(c.batch * c.time * c.width(), 7);
  const Tensor whole = Tensor::from(std::vector<T>(values.begin(), values.end()), {c.batch, c.time, c.width()});
  const auto want = ops::attention(context, Value(whole), c.options).tensor().template to_vector<T>();
  const std::int64_t keys = c.options.kv_heads * c.options.head_size, out = c.options.heads * c.options.head_size;
  std::vector<T> garbage(static_cast<std::size_t>(c.batch * (c.time + 3) * keys), static_cast<T>(NAN));
  const Shape room{c.batch, c.time + 3, keys};
  ops::KeyValueCache cache{Tensor::from(garbage, room), Tensor::from(garbage, room),
                           Tensor::zeros({c.batch}, DType::i32)};
  std::int32_t length = 0;
  for (const std::int32_t count : counts) {
    std::vector<T> piece;
    for (std::int64_t b = 0; b < c.batch; ++b) {
      const T* const first = whole.data<T>() + (b * c.time + length) * c.width();
      piece.insert(piece.end(), first, first + count * c.width());
    }
    const auto got = ops::attend_cached(context, Tensor::from(piece, {c.batch, count, c.width()}), cache, c.options)
                         .template to_vector<T>();
    for (std::int64_t i = 0; i < c.batch * count * out; ++i) {
      const std::int64_t b = i / (count * out);
      const auto at = static_cast<std::size_t>((b * c.time + length) * out + i % (count * out));
      ASSERT_EQ(got[static_cast<std::size_t>(i)], want[at]) << c.text() << ": after " << length << ", element " << i;
    }
    length += count;
    for (std::int32_t& each : cache.lengths.span<std::int32_t>()) each = length;
  }
  EXPECT_EQ(length, c.time);
}

TEST_F(Attention, ACacheGivesTheBitsOfTheWholeSequence) {
  const std::vector<std::int32_t> pieces{70, 1, 1, 5, 64, 1, 8};
  for (const std::int64_t window : {0, 40, 64}) {
    check_cache<float>({2, 150, {.heads = 4, .kv_heads = 2, .head_size = 24, .window = window}}, pieces);
    check_cache<float>({1, 150, {.heads = 2, .kv_heads = 2, .head_size = 32, .window = window}}, pieces);
    check_cache<double>({1, 150, {.heads = 1, .kv_heads = 1, .head_size = 5, .window = window}}, pieces);
  }
  check_cache<float>({2, 130, {.heads = 1, .kv_heads = 1, .head_size = 64}}, std::vector<std::int32_t>(130, 1));
}

TEST_F(Attention, LargeScoresAndMaskedKeysStayFinite) {
  // the softmax of scores around 1e4 and keys behind the query that would overflow if they counted
  std::vector<float> values(70 * 3 * 16, 100.0f);
  for (std::size_t i = 69 * 48; i < 69 * 48 + 32; ++i) values[i] = 1e18f;
  Context context(stream, memory);
  const auto y =
      ops::attention(context, Value(Tensor::from(values, {1, 70, 48})), {.heads = 1, .kv_heads = 1, .head_size = 16});
  const auto found = y.tensor().to_vector<float>();
  for (std::size_t i = 0; i < 69 * 16; ++i) ASSERT_NEAR(found[i], 100, 1e-3) << i;
}

TEST(BlockProduct, ExponentialsAreWithinTwoUlpAndZeroWhereNothingIsLeft) {
  for (double at = -87; at <= 0; at += 0.001) {
    const auto x = static_cast<float>(at);
    const double want = std::exp(static_cast<double>(x));
    const double ulp = static_cast<double>(std::nextafter(static_cast<float>(want), 1e30f)) - want;
    for (int lane = 0; lane < 8; lane += 7)
      ASSERT_NEAR(static_cast<double>(kernels::exp8(kernels::Register8{} + x)[lane]), want,
                  2 * std::max(ulp, 1.2e-7 * want))
          << x;
  }
  EXPECT_EQ(kernels::exp8(kernels::Register8{})[3], 1);
  EXPECT_EQ(kernels::exp8(kernels::Register8{} - HUGE_VALF)[3], 0);
}

TEST(BlockProduct, EveryStripAndOrderIsTheProduct) {
  constexpr std::int64_t depth = 19, columns = 32;
  const auto a = test::normal<float>(6 * depth, 1), b = test::normal<float>(depth * columns, 2);
  std::vector<float> turned(b.size());  // the right operand in panels
  for (std::int64_t p = 0; p < depth; ++p)
    for (std::int64_t j = 0; j < columns; ++j)
      turned[static_cast<std::size_t>(j / 16 * 16 * depth + p * 16 + j % 16)] =
          b[static_cast<std::size_t>(p * columns + j)];
  for (std::int64_t rows = 1; rows <= 6; ++rows) {
    for (const bool by_rows : {false, true}) {
      std::vector<float> out(6 * columns, 1.0f);
      const kernels::StripProduct product{
          a.data(), by_rows ? 6 : depth, turned.data(), 16, 16 * depth, out.data(), columns, 0, columns, 1, depth};
      if (by_rows) {
        kernels::multiply_strip<kernels::LeftOrder::rows>(product, rows, kernels::Start::result);
      } else {
        kernels::multiply_strip<kernels::LeftOrder::depth>(product, rows, kernels::Start::result);
      }
      for (std::int64_t r = 0; r < 6; ++r) {
        for (std::int64_t j = 0; j < columns; ++j) {
          double want = 1;
          for (std::int64_t p = 1; p < depth && r < rows; ++p)
            want += static_cast<double>(a[static_cast<std::size_t>(by_rows ? r + 6 * p : r * depth + p)]) *
                    static_cast<double>(b[static_cast<std::size_t>(p * columns + j)]);
          ASSERT_NEAR(out[static_cast<std::size_t>(r * columns + j)], want, r < rows ? 1e-4 : 0)
              << rows << " rows: " << r << " " << j;
        }
      }
    }
  }
}

TEST(BlockProduct, TurnedRowsFillThePanelsWithZeros) {
  const auto in = test::normal<float>(21 * 13, 3);
  std::vector<float> out(32 * 16, NAN);
  kernels::pack_turned({in.data(), 13, 21, 13}, out.data(), 16);
  for (std::int64_t i = 0; i < 32; ++i)
    for (std::int64_t c = 0; c < 16; ++c)
      ASSERT_EQ(out[static_cast<std::size_t>(i / 16 * 256 + c * 16 + i % 16)],
                i < 21 && c < 13 ? in[static_cast<std::size_t>(i * 13 + c)] : 0.0f)
          << i << " " << c;
}

}  // namespace
}  // namespace trireme
