// Streams, memory and kernels on each device: the same checks for the CPU and the GPU, against plain loops. Without a
// GPU its half says `skipped: no GPU`.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "core/device/stream.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/tensor/tensor.hpp"
#include "tests/support/devices.hpp"

#ifdef TRIREME_HAS_CUDA
#include "core/device/cuda_check.hpp"
#endif

namespace trireme {
namespace {

using kernels::AddScaled;
using kernels::Fill;

class OnDevice : public test::DeviceTest {
 protected:
  /// x += 1, `times` times, only queued.
  void count_up(const Stream& stream, const Tensor& x, const Tensor& ones, int times) {
    for (int k = 0; k < times; ++k)
      launch_elements(stream, x.elements(),
                      AddScaled<float>{.x = ones.data<float>(), .y = x.data<float>(), .alpha = 1, .beta = 1});
  }
  /// Long enough that a GPU is still busy when the host goes on.
  std::int64_t many() const { return std::int64_t{1} << (device().is_cuda() ? 22 : 14); }
  Tensor ones(std::int64_t n) const {
    return Tensor::from(std::vector<float>(static_cast<std::size_t>(n), 1.0F), Shape{n}, device());
  }
};
TRIREME_FOR_EACH_DEVICE(OnDevice);

constexpr int times = 64;

bool all_are(const std::vector<float>& values, float wanted) {
  for (const float v : values)
    if (v != wanted) return false;
  return !values.empty();
}

TEST_P(OnDevice, CopiesGoRoundUnchanged) {
  for (const std::int64_t n : {std::int64_t{1}, std::int64_t{3}, std::int64_t{1000003}}) {
    const auto values = test::normal<float>(n, 1);
    const Tensor there = Tensor::from(values, Shape{n}, device());
    EXPECT_EQ(there.clone().to_vector<float>(), values) << n;
    EXPECT_EQ(there.clone(Device::cpu()).to_vector<float>(), values) << n;
    EXPECT_EQ(there.slice(n - 1, 1).to_vector<float>(), std::vector<float>{values.back()});
  }
  EXPECT_TRUE(Tensor::zeros(Shape{0}, DType::f32, device()).to_vector<float>().empty());
}

TEST_P(OnDevice, ZerosAreZero) {
  const Tensor x = ones(1000);
  x.slice(1, 998).fill_zero();
  auto wanted = std::vector<float>(1000);
  wanted.front() = wanted.back() = 1;
  EXPECT_EQ(x.to_vector<float>(), wanted);
}

TEST_P(OnDevice, ACopySeesTheWorkQueuedBeforeIt) {
  const Stream stream(device());
  const Tensor x = Tensor::zeros(Shape{many()}, DType::f32, device()), one = ones(many());
  count_up(stream, x, one, times);
  EXPECT_TRUE(all_are(x.to_vector<float>(), times));
}

TEST_P(OnDevice, AnEventOrdersTwoStreams) {
  const Stream first(device()), second(device());
  const Tensor x = Tensor::zeros(Shape{many()}, DType::f32, device()), y = ones(many()), one = ones(many());
  count_up(first, x, one, times);
  const Event done = first.record();
  second.wait(done);
  launch_elements(second, many(), AddScaled<float>{.x = x.data<float>(), .y = y.data<float>(), .alpha = 2, .beta = 1});
  second.synchronize();
  EXPECT_TRUE(done.done()) << "the second stream has finished, so what it waited for has";
  EXPECT_TRUE(all_are(y.to_vector<float>(), 2 * times + 1));
  done.wait();
  EXPECT_TRUE(Event().done());
}

TEST_P(OnDevice, MemoryIsNotReusedBeforeItsLastUse) {
  const Stream stream(device());
  const Tensor one = ones(many());
  for (int round = 0; round < 4; ++round) {
    Tensor x = Tensor::zeros(Shape{many()}, DType::f32, device());
    count_up(stream, x, one, times);
    x = Tensor();
    const Tensor y = ones(many());  // may lie where x was; the queue must not write into it any more
    stream.synchronize();
    ASSERT_TRUE(all_are(y.to_vector<float>(), 1)) << "round " << round;
  }
}

TEST_P(OnDevice, AStreamMayEndBeforeItsWork) {
  const Tensor x = Tensor::zeros(Shape{many()}, DType::f32, device()), one = ones(many());
  count_up(Stream(device()), x, one, times);
  EXPECT_TRUE(all_are(x.to_vector<float>(), times));
}

TEST_P(OnDevice, StepsAskForTheSameAddresses) {
  StepAllocator allocator(device());
  const auto step = [&] {
    std::vector<std::shared_ptr<Buffer>> blocks;
    std::vector<void*> addresses;
    for (const std::size_t bytes : {100U, 5000U, 100U, 3000000U}) blocks.push_back(allocator.allocate(bytes));
    for (const auto& block : blocks) addresses.push_back(block->data());
    return std::set<void*>(addresses.begin(), addresses.end());
  };
  const auto first = step();
  const std::size_t reserved = allocator.bytes_reserved();
  EXPECT_EQ(first.size(), 4U);
  for (int k = 0; k < 3; ++k) EXPECT_EQ(step(), first);
  EXPECT_EQ(allocator.bytes_reserved(), reserved);
}

TEST(Cuda, ThePoolReusesFreedBlocks) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "skipped: no GPU";
  std::set<void*> addresses;
  for (int k = 0; k < 20; ++k)
    addresses.insert(system_allocator(Device::cuda(0)).allocate(std::size_t{64} << 20)->data());
  EXPECT_LE(addresses.size(), 2U) << "freed blocks were not kept for reuse";
}

TEST(Cuda, OutOfMemoryIsNamedAndSurvived) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "skipped: no GPU";
  try {
    system_allocator(Device::cuda(0)).allocate(std::size_t{1} << 40);
    FAIL() << "a TiB was found";
  } catch (const Error& error) {
    for (const char* part : {"1099511627776 bytes", "cuda:0", "are free", "smaller batch"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  const Tensor x = Tensor::zeros(Shape{100}, DType::f32, Device::cuda(0));
  const Stream stream(Device::cuda(0));
  launch_elements(stream, 100, Fill<float>{.y = x.data<float>(), .value = 1});  // the refusal must not fail this launch
  EXPECT_TRUE(all_are(x.to_vector<float>(), 1));
}

/// y = beta * y + alpha * x in T from `skip` elements on, against f64.
template <class T>
void check_add_scaled(Device device, std::int64_t n, std::int64_t skip, double tolerance) {
  SCOPED_TRACE(testing::Message() << name_of(dtype_of<T>) << ", " << n << " elements from " << skip << " on");
  const auto x = test::normal<T>(n + skip, 1), y = test::normal<T>(n + skip, 2);
  const Tensor there_x = Tensor::from(x, Shape{n + skip}, device), there_y = Tensor::from(y, Shape{n + skip}, device);
  const Stream stream(device);
  launch_elements(stream, n,
                  AddScaled<T>{.x = there_x.data<T>() + skip, .y = there_y.data<T>() + skip, .alpha = 2, .beta = -3});
  std::vector<double> wanted = test::as_double(y);
  for (auto i = static_cast<std::size_t>(skip); i < wanted.size(); ++i)
    wanted[i] = 2 * static_cast<double>(static_cast<Accum<T>>(x[i])) - 3 * wanted[i];
  test::expect_near(there_y.to_vector<T>(), wanted, tolerance);
}

TEST_P(OnDevice, ElementKernelsReachEveryElement) {
  for (const std::int64_t n : {1, 3, 4, 255, 1024, 1025, 1000003})
    for (const std::int64_t skip : {0, 1}) {
      check_add_scaled<float>(device(), n, skip, 1e-6);
      check_add_scaled<double>(device(), n, skip, 1e-14);
      check_add_scaled<BFloat16>(device(), n, skip, 4e-3);
    }
}

TEST_P(OnDevice, ElementKernelsStopAtTheEnd) {
  const Tensor x = Tensor::zeros(Shape{1030}, DType::f32, device());
  const Stream stream(device());
  launch_elements(stream, 1027, Fill<float>{.y = x.data<float>(), .value = 7});
  auto wanted = std::vector<float>(1030, 7);
  wanted[1027] = wanted[1028] = wanted[1029] = 0;
  EXPECT_EQ(x.to_vector<float>(), wanted);
}

TEST(Cuda, SaysWhyThereIsNoGpu) {
  const std::string reason = cuda_unavailable_reason();
  if (cuda_device_count() > 0) {
    EXPECT_EQ(reason, "");
  } else {
    EXPECT_NE(reason, "");
    EXPECT_EQ(reason, cuda_unavailable_reason()) << "asking twice gives the same answer";
  }
}

/// A program must start where there is neither driver nor toolkit: what it needs of CUDA it opens when it needs it.
TEST(Cuda, ProgramsAreNotLinkedWithLibrariesOfCuda) {
  const std::string command =
      "readelf -d '" + std::filesystem::read_symlink("/proc/self/exe").string() + "' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command.c_str(), "r"), pclose);
  ASSERT_NE(output, nullptr);
  std::string text;
  char part[4096];
  while (const std::size_t count = fread(part, 1, sizeof part, output.get())) text.append(part, count);
  if (text.find("(NEEDED)") == std::string::npos) GTEST_SKIP() << "skipped: no readelf";
  EXPECT_NE(text.find("[libc.so.6]"), std::string::npos) << text;
  for (const char* library : {"libcuda.so", "libcudart", "libcublas", "libcudnn", "libnvrtc"})
    EXPECT_EQ(text.find(library), std::string::npos) << text;
}

TEST(Cuda, AnAbsentGpuIsAnErrorOfUsage) {
  const Device absent = Device::cuda(cuda_device_count());
  const auto check = [&](const auto& action) {
    try {
      action();
      FAIL() << "there is no " << absent.name();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find("--device cpu"), std::string::npos) << error.what();
    }
  };
  check([&] { const Stream stream(absent); });
  check([&] { Tensor::zeros(Shape{4}, DType::f32, absent); });
}

#ifdef TRIREME_HAS_CUDA
std::string cuda_message(cudaError_t status, const char* call) {
  try {
    cuda::check(status, call);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Cuda, AFailedCallIsNamedWithItsPlaceCauseAndRemedy) {
  const std::string text = cuda_message(cudaErrorIllegalAddress, "cudaStreamSynchronize(stream)");
  for (const char* part : {"cudaStreamSynchronize(stream)", "cuda_test.cpp:", "illegal memory access",
                           "cudaErrorIllegalAddress", "compute-sanitizer"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  EXPECT_EQ(cuda_message(cudaSuccess, "cudaFine()"), "");
}

TEST(Cuda, TheFirstFailureIsRepeatedAndDestructorsStayQuiet) {
  cuda_message(cudaErrorECCUncorrectable, "cudaFirst()");
  EXPECT_NE(cuda_message(cudaErrorLaunchFailure, "cudaSecond()").find("the first failed CUDA call"), std::string::npos);
  testing::internal::CaptureStderr();
  cuda::check_quietly(cudaErrorLaunchFailure, "cudaStreamDestroy");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}
#endif

}  // namespace
}  // namespace trireme
