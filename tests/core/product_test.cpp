// Products into given memory on each device, against the plain text: every transposition, batches, added to what is
// there, rows that start anywhere, epilogues, 16-bit operands; and the choices of a library kept as text.
#include <gtest/gtest.h>

#include <cmath>

#include "core/device/shared_library.hpp"
#include "core/ops/gemm.hpp"
#include "core/ops/product_choices.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/poisoned_memory.hpp"

namespace trireme {
namespace {

using ops::Product;
using ops::Transpose;

struct ProductSizes {
  std::int64_t m, n, k, batches = 1;
};
constexpr ProductSizes product_sizes[] = {{1, 1, 1},    {7, 5, 3},     {64, 32, 16}, {33, 64, 128},
                                          {128, 8, 31}, {5, 16, 8, 3}, {3, 7, 5, 4}};

class ProductOnDevice : public test::DeviceTest {
 protected:
  /// A matrix of normal values that starts one element into its memory, or at its beginning.
  template <class T>
  Tensor matrix(std::int64_t elements, unsigned seed, std::int64_t first = 0) const {
    return Tensor::from(test::normal<T>(elements + first, seed), {elements + first}, device()).slice(first, elements);
  }
  /// The product by `backend` over what `seed` gives for c.
  template <class T>
  std::vector<double> result(const Product& p, Write mode, ops::Backend backend, std::int64_t first = 0) const {
    const Stream stream(device());
    test::PoisonedMemory memory(device());
    Context context(stream, memory);
    const std::int64_t elements = p.batches * p.m * p.n;
    Tensor c = context.empty({elements + first}, dtype_of<T>).slice(first, elements);
    if (mode == Write::accumulate) c.copy_from(matrix<T>(elements, 9));
    ops::product_into(context, p, {c, mode}, backend);
    stream.synchronize();
    return test::as_double(c.to_vector<T>());
  }
  template <class T>
  Product product(const ProductSizes& s, std::int64_t first = 0) const {
    return {.a = matrix<T>(s.batches * s.m * s.k, 1, first),
            .b = matrix<T>(s.batches * s.k * s.n, 2, first),
            .m = s.m,
            .n = s.n,
            .k = s.k,
            .batches = s.batches};
  }
};
TRIREME_FOR_EACH_DEVICE(ProductOnDevice);

using test::expect_like;

testing::Message describe(const Product& p, Write mode) {
  return testing::Message() << name_of(p.a.dtype()) << " " << p.batches << " x (" << p.m << ", " << p.k << ") (" << p.k
                            << ", " << p.n << ") transposed " << static_cast<int>(p.transpose_a)
                            << static_cast<int>(p.transpose_b) << (mode == Write::accumulate ? " added" : "");
}

TEST_P(ProductOnDevice, EveryTranspositionBatchAndModeAgreesWithTheText) {
  const auto check = [&](auto zero, const ProductSizes& s, double tolerance) {
    using T = decltype(zero);
    for (const std::int64_t first : {0, 1})
      for (const Transpose ta : {Transpose::no, Transpose::yes})
        for (const Transpose tb : {Transpose::no, Transpose::yes})
          for (const Write mode : {Write::overwrite, Write::accumulate}) {
            Product p = product<T>(s, first);
            p.transpose_a = ta, p.transpose_b = tb;
            SCOPED_TRACE(describe(p, mode));
            expect_like(result<T>(p, mode, ops::Backend::best, first), result<T>(p, mode, ops::Backend::reference),
                        tolerance);
          }
  };
  for (const ProductSizes& s : product_sizes) {
    check(float{}, s, 1e-5);
    check(double{}, s, 1e-13);
  }
}

TEST_P(ProductOnDevice, SixteenBitOperandsAreSummedInF32) {
  if (!device().is_cuda()) GTEST_SKIP() << "skipped: products of 16-bit numbers are a GPU's";
  const auto check = [&](auto zero, double tolerance) {
    using T = decltype(zero);
    for (const ProductSizes& s : product_sizes) {
      const Product p = product<T>(s);
      SCOPED_TRACE(describe(p, Write::overwrite));
      Product wide = p;
      const auto widened = [&](const Tensor& t) { return Tensor::from(test::as_double(t.to_vector<T>()), t.shape()); };
      wide.a = widened(p.a).clone(device()), wide.b = widened(p.b).clone(device());
      const auto want = result<double>(wide, Write::overwrite, ops::Backend::reference);
      expect_like(result<T>(p, Write::overwrite, ops::Backend::best), want, tolerance);
      expect_like(result<float>(p, Write::overwrite, ops::Backend::best), want, 1e-5);
    }
  };
  check(BFloat16{}, 4e-3);
  check(Float16{}, 5e-4);
}

double gelu(double x) { return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2; }

TEST_P(ProductOnDevice, EpiloguesAreWhatTheyAreCalled) {
  for (const ProductSizes& s : {ProductSizes{6, 24, 5}, ProductSizes{6, 7, 5}}) {
    const Product plain = product<float>(s);
    const std::vector<double> sum = result<float>(plain, Write::overwrite, ops::Backend::reference);
    const auto bias = test::normal<float>(s.n, 3);
    for (const ops::Backend backend : {ops::Backend::best, ops::Backend::reference})
      for (const Product::Finish finish :
           {Product::Finish::none, Product::Finish::relu, Product::Finish::gelu_tanh_fit}) {
        Product p = plain;
        p.bias = Tensor::from(bias, {s.n}, device());
        p.finish = finish;
        const bool keeps = finish == Product::Finish::gelu_tanh_fit;
        if (keeps)
          p.before =
              Tensor::from(std::vector<float>(sum.size(), NAN), {static_cast<std::int64_t>(sum.size())}, device());
        std::vector<double> before(sum), wanted;
        for (std::size_t i = 0; i < sum.size(); ++i) {
          before[i] += static_cast<double>(bias[i % static_cast<std::size_t>(s.n)]);
          wanted.push_back(finish == Product::Finish::none   ? before[i]
                           : finish == Product::Finish::relu ? std::max(before[i], 0.0)
                                                             : gelu(before[i]));
        }
        expect_like(result<float>(p, Write::overwrite, backend), wanted, 1e-5);
        if (keeps) expect_like(test::as_double(p.before.to_vector<float>()), before, 1e-5);
      }
  }
}

TEST_P(ProductOnDevice, SumsOverTheRowsComeWithTheProduct) {
  const Stream stream(device());
  test::PoisonedMemory memory(device());
  Context context(stream, memory);
  const ProductSizes s{16, 24, 9};
  for (const Write mode : {Write::overwrite, Write::accumulate})
    for (const bool of_a : {true, false}) {
      Product p = product<float>(s);
      p.transpose_a = Transpose::yes;
      const std::int64_t features = of_a ? s.m : s.n;
      const auto old = test::normal<float>(features, 7);
      const Tensor sums = Tensor::from(old, {features}, device());
      (of_a ? p.sums_of_a : p.sums_of_b) = {sums, mode};
      const Tensor c = context.empty({s.m, s.n}, DType::f32);
      ops::product_into(context, p, {c, Write::overwrite});
      stream.synchronize();
      const auto rows = test::as_double((of_a ? p.a : p.b).to_vector<float>());
      std::vector<double> wanted(static_cast<std::size_t>(features));
      for (std::size_t i = 0; i < rows.size(); ++i) wanted[i % wanted.size()] += rows[i];
      if (mode == Write::accumulate)
        for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] += static_cast<double>(old[i]);
      expect_like(test::as_double(sums.to_vector<float>()), wanted, 1e-5);
    }
}

TEST_P(ProductOnDevice, TimedChoicesChangeNothingThatCounts) {
  const ProductSizes s{48, 40, 56};
  const Product p = product<float>(s);
  const auto want = result<float>(p, Write::accumulate, ops::Backend::reference);
  ops::set_product_search(ops::ProductSearch::timed);
  const auto got = result<float>(p, Write::accumulate, ops::Backend::best);
  ops::set_product_search(ops::ProductSearch::expected);
  expect_like(got, want, 1e-5);
  EXPECT_EQ(result<float>(p, Write::accumulate, ops::Backend::best), got) << "the choice is kept";
  EXPECT_EQ(ops::product_choices().find("cuBLASLt") != std::string::npos, device().is_cuda());
}

TEST(ProductChoices, GoRoundAsText) {
  const ops::PlanKey kind{0, 8, 9, 10};
  ops::keep_product_choices("");
  ops::set_product_choice("library 1, sm_0", kind, 3);
  const std::string text = ops::product_choices();
  ops::set_product_choice("library 1, sm_0", kind, 0);
  ops::keep_product_choices(text);
  EXPECT_EQ(ops::product_choice("library 1, sm_0", kind), 3U);
  EXPECT_FALSE(ops::product_choice("library 2, sm_0", kind).has_value()) << "of another version";
  EXPECT_FALSE(ops::product_choice("library 1, sm_0", {0, 8, 9, 11}).has_value());
  for (const char* broken : {"a", "a\tb", "a\tb\tc", "a\tb\t1x", "a\tb\t", "\n"}) {
    SCOPED_TRACE(broken);
    try {
      ops::keep_product_choices(broken);
      ADD_FAILURE() << "it was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input);
    }
  }
  EXPECT_EQ(ops::product_choice("library 1, sm_0", kind), 3U) << "broken text changes nothing";
}

TEST(SharedLibrary, OpensWhatIsThereAndNamesWhatIsNot) {
  const SharedLibrary math({.file = "libm.so.6", .purpose = "a test", .remedy = "install it"});
  double (*cosine)(double) = nullptr;
  math.bind(cosine, "cos");
  EXPECT_EQ(cosine(0), 1);
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(message([&] { math.bind(cosine, "trireme_absent"); }).find("no function trireme_absent"),
            std::string::npos);
  const std::string text = message([] {
    const SharedLibrary none({.file = "libtrireme_absent.so.7", .purpose = "a test", .remedy = "install it"});
  });
  for (const char* part : {"opening libtrireme_absent.so.7 for a test", "install it", "LD_LIBRARY_PATH"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

}  // namespace
}  // namespace trireme
