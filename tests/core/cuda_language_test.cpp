// The ops of language models on each device: rows of the gradient check, forward and backward, against f64 on the CPU.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/device/stream.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

const std::set<std::string> language_ops{"embedding",  "rms_norm", "add_rms_norm", "add_layer_norm",
                                         "gated_silu", "rotary",   "attention",    "linear_cross_entropy"};

struct NoParameters final : GradientStore {
  Destination acquire(Parameter&) override { return {}; }
  void ready(Parameter&) override {}
};

/// The output and all gradients, one after the other, from inputs that depend on the row alone.
template <class T>
std::vector<double> compute_on(Device device, const GradientCase& row) {
  const Stream stream(device);
  StepAllocator memory(device);
  Context context(stream, memory);
  NoParameters store;
  Tape tape(store);
  const StepState state;
  context.begin_training({.tape = &tape, .state = &state});
  Inputs inputs;
  unsigned seed = 0;
  const auto there = [&](const Shape& shape) {
    std::vector<T> values;
    for (const float v : test::normal<float>(shape.elements(), ++seed)) values.push_back(static_cast<T>(v));
    return Tensor::from(values, shape, device);
  };
  for (const Shape& shape : row.shapes) inputs.push_back(tape.watch(there(shape)));
  const Value y = row.function(context, inputs);
  const Tensor dy = there(y.shape());
  const Value loss = context.record({"weigh", {&y, 1}, [dy](Context&, Gradients& g) { g.hand_over(0, dy); }},
                                    context.empty({1}, y.dtype()));
  tape.backward(context, loss, 1);
  stream.synchronize();
  std::vector<double> out = test::as_double(y.tensor().to_vector<T>());
  for (const Value& input : inputs)
    for (const T v : tape.gradient_of(input).template to_vector<T>()) out.push_back(static_cast<double>(v));
  return out;
}

class LanguageOnDevice : public test::DeviceTest {};
TRIREME_FOR_EACH_DEVICE(LanguageOnDevice);

TEST_P(LanguageOnDevice, AgreesWithTheCpuInF64) {
  std::set<std::string> seen;
  for (const GradientCase& row : gradient_cases()) {
    if (language_ops.count(row.op) == 0) continue;
    SCOPED_TRACE(row.name());
    seen.insert(row.op);
    const auto want = compute_on<double>(Device::cpu(), row);
    test::expect_near(compute_on<double>(device(), row), want, 1e-11);
    test::expect_near(compute_on<float>(device(), row), want, 2e-4);
  }
  EXPECT_EQ(seen, language_ops);
}

}  // namespace
}  // namespace trireme
