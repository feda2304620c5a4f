// Copies in stream order, staged host memory, recorded graphs and what memory says when it is used up, on each device.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "core/base/error.hpp"
#include "core/device/cuda_graph.hpp"
#include "core/device/pinned.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/tape/context.hpp"
#include "tests/support/devices.hpp"

namespace trireme {
namespace {

class StreamOrder : public test::DeviceTest {
 protected:
  Tensor filled(std::int64_t n, float value) const {
    return Tensor::from(std::vector<float>(static_cast<std::size_t>(n), value), Shape{n}, device());
  }
  Tensor staged(std::int64_t n) const {
    return {staging_allocator(device()).allocate(static_cast<std::size_t>(n) * sizeof(float)), 0, {n}, DType::f32};
  }
  /// y += x.
  static void add(const Stream& stream, const Tensor& x, const Tensor& y) {
    launch_elements(stream, x.elements(),
                    kernels::AddScaled<float>{.x = x.data<float>(), .y = y.data<float>(), .alpha = 1.0F, .beta = 1.0F});
  }
};
TRIREME_FOR_EACH_DEVICE(StreamOrder);

constexpr std::int64_t many = 1 << 18;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool all_equal(const std::vector<float>& values, float wanted) {
  return !values.empty() && std::all_of(values.begin(), values.end(), [&](float v) { return v == wanted; });
}

TEST_P(StreamOrder, CopiesAndZerosTakeTheirTurn) {
  const Stream stream(device());
  const Tensor in = staged(many), out = staged(many), there = filled(many, 7), one = filled(many, 1);
  for (float& v : in.span<float>()) v = 3;
  for (float& v : out.span<float>()) v = 0;
  there.copy_from(in, stream);
  add(stream, one, there);
  out.copy_from(there, stream);
  there.fill_zero(stream);
  stream.synchronize();
  EXPECT_TRUE(all_equal({out.span<float>().begin(), out.span<float>().end()}, 4));
  EXPECT_TRUE(all_equal(there.to_vector<float>(), 0));
}

TEST_P(StreamOrder, StagedMemoryIsOfTheHostAndOfAnySize) {
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, std::int64_t{5000}}) {
    const Tensor block = staged(n);
    EXPECT_EQ(block.device(), Device::cpu());
    for (float& v : block.span<float>()) v = 1;  // writable to its end
  }
}

TEST_P(StreamOrder, StagedMemoryIsKeptForTheNextUse) {
  if (!device().is_cuda()) GTEST_SKIP() << "skipped: ordinary host memory is the system's";
  const void* const first = staged(many).raw();
  EXPECT_EQ(staged(many).raw(), first);
  EXPECT_EQ(staged(many - 100).raw(), first) << "the same class of sizes";
}

TEST_P(StreamOrder, KernelsFindTheStepsNumbersOnTheirDevice) {
  const Stream stream(device());
  Context context(stream, system_allocator(device()));
  const StepState state{.step = 5}, given{};
  context.begin_training({.state = &state});
  const StepState* const there = context.device_state();
  StepState back;
  copy_bytes({&back, Device::cpu()}, {there, device()}, sizeof back);
  EXPECT_EQ(back.step, 5);
  EXPECT_EQ(context.device_state(), there) << "one copy a pass";
  context.begin_training({.state = &state, .device_state = &given});
  EXPECT_EQ(context.device_state(), &given);
}

TEST(CudaGraph, IsOfGpusAlone) {
  const Stream stream;
  CudaGraph graph;
  EXPECT_NE(error_of([&] { graph.record(stream, [] {}); }).find("on cpu"), std::string::npos);
  EXPECT_NE(error_of([&] { graph.launch(stream); }).find("not recorded"), std::string::npos);
}

class CudaRecorded : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "skipped: no GPU (" << cuda_unavailable_reason() << ")";
  }
  static Tensor filled(float value) {
    return Tensor::from(std::vector<float>(many, value), Shape{many}, Device::cuda(0));
  }
  static void scale(const Stream& stream, const Tensor& y, float factor) {
    launch_elements(stream, many, kernels::AddScaled<float>{y.data<float>(), y.data<float>(), factor, 0.0F});
  }
};

TEST_F(CudaRecorded, WorkRunsWhenItIsLaunchedAndOnlyThen) {
  const Stream stream(Device::cuda(0));
  const Tensor y = filled(1);
  CudaGraph graph;
  graph.record(stream, [&] {
    scale(stream, y, 2);
    scale(stream, y, 2);
  });
  stream.synchronize();
  EXPECT_TRUE(all_equal(y.to_vector<float>(), 1));
  for (int k = 0; k < 3; ++k) graph.launch(stream);
  EXPECT_TRUE(all_equal(y.to_vector<float>(), 64)) << "a blocking copy waits for launched graphs";
  graph.record(stream, [&] {
    scale(stream, y, 0.5F);
    scale(stream, y, 1);
  });
  EXPECT_EQ(graph.built(), 1) << "the same sequence takes new arguments";
  graph.launch(stream);
  EXPECT_TRUE(all_equal(y.to_vector<float>(), 32));
}

TEST_F(CudaRecorded, StreamsJoinThroughEvents) {
  const Stream stream(Device::cuda(0)), other(Device::cuda(0));
  const Tensor y = filled(1), z = filled(1);
  CudaGraph graph;
  graph.record(stream, [&] {
    scale(stream, y, 3);
    other.wait(stream.record());
    scale(other, z, 5);
    stream.wait(other.record());
  });
  graph.launch(stream);
  EXPECT_TRUE(all_equal(y.to_vector<float>(), 3));
  EXPECT_TRUE(all_equal(z.to_vector<float>(), 5));
}

TEST_F(CudaRecorded, MemoryIsRefusedByNameAndTheRecordingSurvivesIt) {
  const Stream stream(Device::cuda(0));
  StepAllocator memory(Device::cuda(0));
  const Tensor y = filled(1);
  CudaGraph graph;
  const auto allocating = [&] { graph.record(stream, [&] { memory.allocate(1 << 20); }); };
  EXPECT_NE(error_of(allocating).find("while this thread records a CUDA graph"), std::string::npos);
  const auto copying = [&] { graph.record(stream, [&] { y.to_vector<float>(); }); };
  EXPECT_NE(error_of(copying).find("while this thread records a CUDA graph"), std::string::npos);
  memory.allocate(1 << 20);  // now the allocator holds such a block
  graph.record(stream, [&] {
    memory.allocate(1 << 20);
    scale(stream, y, 2);
  });
  graph.launch(stream);
  EXPECT_TRUE(all_equal(y.to_vector<float>(), 2));
}

TEST_F(CudaRecorded, OtherThreadsGoOnWhileOneRecords) {
  const Stream stream(Device::cuda(0));
  const Tensor y = filled(1);
  CudaGraph graph;
  graph.record(stream, [&] {
    scale(stream, y, 2);
    std::thread([] {
      Tensor x = filled(4);
      EXPECT_TRUE(all_equal(x.clone().to_vector<float>(), 4));
      x = Tensor();
    }).join();
    scale(stream, y, 2);
  });
  graph.launch(stream);
  EXPECT_TRUE(all_equal(y.to_vector<float>(), 4));
}

TEST(StepMemory, KeptBlocksGoBeforeTheSystemsRefusalIsFinal) {
  StepAllocator memory(Device::cpu());
  memory.set_label("block 3");
  const auto live = memory.allocate(4096);
  memory.allocate(1 << 20);  // given back at once: kept
  EXPECT_GT(memory.bytes_reserved(), memory.bytes_in_use());
  const std::string text = error_of([&] { memory.allocate(std::size_t{1} << 60); });
  for (const char* part : {"1152921504606846976 bytes", "in use on cpu: 4096 bytes", "4096 bytes  block 3"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  EXPECT_EQ(memory.bytes_reserved(), memory.bytes_in_use());
}

}  // namespace
}  // namespace trireme
