// Shapes, tensors, buffers and the step allocator: the mistakes a user can make are errors, and memory is reused.
#include "core/tensor/tensor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/checked.hpp"

namespace trireme {
namespace {

TEST(Shape, CountsElementsAndRefusesNonsense) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.elements(), 24);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape.elements_from(1), 12);
  EXPECT_EQ(shape.tail(), (Shape{3, 4}));
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{5, 0, 7}).elements(), 0);
  EXPECT_THROW((Shape{-1}), Error);
  EXPECT_THROW((Shape{1LL << 40, 1LL << 40}), Error);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), Error);
  EXPECT_THROW(shape[3], Error);
}

TEST(Tensor, ViewsShareMemory) {
  const Tensor t = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor row = t.slice(1, 1);
  EXPECT_EQ(row.to_vector<float>(), (std::vector<float>{3, 4}));
  row.span<float>()[0] = 30;
  EXPECT_EQ(t.reshape({6}).to_vector<float>()[2], 30);
  EXPECT_EQ(t.clone().slice(2, 1).to_vector<float>(), (std::vector<float>{5, 6}));
}

TEST(Tensor, RefusesWrongTypesShapesAndDevices) {
  const Tensor t = Tensor::zeros({4}, DType::f32);
  EXPECT_THROW(t.data<double>(), Error);
  EXPECT_THROW(t.reshape({5}), Error);
  EXPECT_THROW(t.slice(3, 2), Error);
  EXPECT_THROW(t.item(), Error);
  EXPECT_THROW(t.copy_from(Tensor::zeros({4}, DType::f64)), Error);
  EXPECT_THROW(Tensor::from<float>({1, 2}, {3}), Error);
  const Tensor meta = Tensor::empty({1LL << 40}, DType::f32, Device::meta());
  EXPECT_EQ(meta.raw(), nullptr);
  EXPECT_THROW(meta.to_vector<float>(), Error);
}

TEST(Tensor, WritingCountsTheVersion) {
  const Tensor t = Tensor::zeros({4}, DType::f32), other = Tensor::zeros({4}, DType::f32);
  const auto before = t.version();
  t.copy_from(other);
  EXPECT_GT(t.version(), before);
}

TEST(StepAllocator, ASecondStepGetsTheSameAddresses) {
  StepAllocator allocator(Device::cpu());
  const auto step = [&] {
    std::vector<void*> addresses;
    std::vector<std::shared_ptr<Buffer>> held;
    for (const std::size_t bytes : {100u, 5000u, 100u, 70000u}) {
      held.push_back(allocator.allocate(bytes));
      addresses.push_back(held.back()->data());
    }
    held.erase(held.begin() + 1);
    held.push_back(allocator.allocate(5100));
    addresses.push_back(held.back()->data());
    return addresses;
  };
  step();
  const auto reserved = allocator.bytes_reserved();
  const auto second = step(), third = step();
  EXPECT_EQ(second, third);
  EXPECT_EQ(allocator.bytes_reserved(), reserved);
  EXPECT_EQ(allocator.bytes_in_use(), 0u);
  EXPECT_GE(allocator.peak_bytes(), 75000u);
  allocator.trim();
  EXPECT_EQ(allocator.bytes_reserved(), 0u);
}

TEST(StepAllocator, NamesTheLargestUsers) {
  StepAllocator allocator(Device::cpu());
  allocator.set_label("small");
  const auto a = allocator.allocate(1000);
  allocator.set_label("large");
  const auto b = allocator.allocate(1000000);
  const std::string report = allocator.report(1);
  EXPECT_NE(report.find("large"), std::string::npos);
  EXPECT_EQ(report.find("small"), std::string::npos);
}

TEST(StepAllocator, BlocksMayOutliveIt) {
  std::shared_ptr<Buffer> block;
  {
    StepAllocator allocator(Device::cpu());
    block = allocator.allocate(64);
  }
  static_cast<char*>(block->data())[63] = 1;
  block.reset();
}

TEST(StepAllocator, AnImpossibleSizeIsAnErrorThatNamesIt) {
  StepAllocator allocator(Device::cpu());
  try {
    allocator.allocate(std::numeric_limits<std::size_t>::max() / 4);
    FAIL() << "an exabyte was allocated";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("bytes"), std::string::npos);
  }
}

TEST(Half, EveryBf16AndF16SurvivesARoundTrip) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    BFloat16 b;
    b.bits = static_cast<std::uint16_t>(bits);
    Float16 h;
    h.bits = static_cast<std::uint16_t>(bits);
    const float fb = static_cast<float>(b), fh = static_cast<float>(h);
    if (std::isnan(fb)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(fb))));
    } else {
      EXPECT_EQ(BFloat16(fb).bits, b.bits);
    }
    if (std::isnan(fh)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Float16(fh))));
    } else {
      EXPECT_EQ(Float16(fh).bits, h.bits) << bits;
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(static_cast<float>(Float16(2049.0f)), 2048.0f);
  EXPECT_EQ(static_cast<float>(Float16(2051.0f)), 2052.0f);
  EXPECT_EQ(static_cast<float>(Float16(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(static_cast<float>(Float16(65520.0f))));
  EXPECT_EQ(static_cast<float>(Float16(0x1.0p-25f)), 0.0f);
  EXPECT_EQ(static_cast<float>(Float16(0x1.8p-25f)), 0x1.0p-24f);
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1.0p-8f)), 1.0f);
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1.8p-8f)), 1.0f + 0x1.0p-7f);
}

TEST(Checked, OverflowIsAnError) {
  EXPECT_THROW(checked_mul(1LL << 40, 1LL << 40), Error);
  EXPECT_THROW(checked_add(std::numeric_limits<std::int64_t>::max(), 1), Error);
  EXPECT_THROW(narrow<std::int32_t>(std::int64_t{1} << 40), Error);
  EXPECT_THROW(to_size(-1), Error);
}

}  // namespace
}  // namespace trireme
