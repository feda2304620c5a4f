// The kernels of language models: attention, the head with its loss, activations, the update of AdamW. `language_bench
// [THREADS [PART]]`, PART a part of their names; names and sizes are those of language_peer.py, which does the same in
// PyTorch. Seconds of one call.
#include <omp.h>

#include <cstdlib>

#include "core/kernels/launch.hpp"
#include "core/kernels/optimizer.hpp"
#include "core/ops/activation.hpp"
#include "core/ops/attention.hpp"
#include "core/ops/gated.hpp"
#include "core/ops/linear_cross_entropy.hpp"
#include "core/tape/context.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

struct NoParameters final : GradientStore {
  Destination acquire(Parameter&) override { return {}; }
  void ready(Parameter&) override {}
};

Tensor random(const Shape& shape) {
  Tensor out = Tensor::empty(shape, DType::f32);
  std::uint32_t state = 12345;
  for (float& value : out.span<float>()) {
    state = state * 1664525 + 1013904223;
    value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
  }
  return out;
}

class Bench {
 public:
  using Op = std::function<Value(Context&, const std::vector<Value>&)>;

  /// Forward alone, and forward with backward from a gradient that is there.
  void measure(const std::string& name, int times, const std::vector<Tensor>& inputs, const Op& op) {
    context_.begin_eval();
    const std::vector<Value> constants(inputs.begin(), inputs.end());
    report(name + " forward", "s", time_calls(times, [&] { op(context_, constants); }));
    const Tensor dy = random(op(context_, constants).shape());
    report(name, "s", time_calls(times, [&] {
             Tape tape(store_);
             context_.begin_training({.tape = &tape, .state = &state_});
             std::vector<Value> values;
             for (const Tensor& input : inputs) values.push_back(tape.watch(input));
             const Value y = op(context_, values);
             const auto seed = [&](Context&, Gradients& g) { g.hand_over(0, dy); };
             const Value loss = context_.record({"seed", {&y, 1}, seed}, context_.empty({1}, DType::f32));
             tape.backward(context_, loss, 1);
           }));
  }

  void attention(std::int64_t batch, std::int64_t time, int times) {
    constexpr std::int64_t heads = 12, size = 64;
    measure(fmt::format("attention {}x{}", batch, time), times, {random({batch, time, 3 * heads * size})},
            [](Context& c, const std::vector<Value>& x) {
              return ops::attention(c, x[0], {.heads = heads, .kv_heads = heads, .head_size = size});
            });
  }

  void head(std::int64_t rows, int times) {
    constexpr std::int64_t vocabulary = 50257, width = 768;
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < rows; ++i) labels.push_back(static_cast<std::int32_t>(i * 7919 % vocabulary));
    const Tensor label = Tensor::from(labels, {rows});
    measure(fmt::format("linear_cross_entropy {}", rows), times, {random({rows, width}), random({vocabulary, width})},
            [label](Context& c, const std::vector<Value>& x) {
              return ops::linear_cross_entropy(c, {x[0], x[1]}, label).loss;
            });
  }

  void losses() {
    constexpr std::int64_t rows = 256, vocabulary = 50257;
    const Tensor label = Tensor::zeros({rows}, DType::i32);
    measure("cross_entropy 256x50257", 9, {random({rows, vocabulary})},
            [label](Context& c, const std::vector<Value>& x) { return ops::cross_entropy(c, x[0], label).loss; });
  }

  void activations() {
    const Tensor x = random({4096, 4096});
    measure("gelu", 9, {x},
            [](Context& c, const std::vector<Value>& v) { return ops::gelu(c, v[0], ops::GeluForm::tanh_fit); });
    measure("silu", 9, {x}, [](Context& c, const std::vector<Value>& v) { return ops::silu(c, v[0]); });
    measure("gated_silu", 9, {x}, [](Context& c, const std::vector<Value>& v) { return ops::gated_silu(c, v[0]); });
  }

  void adamw() {
    constexpr std::int64_t n = 32 << 20;
    const Tensor p = random({n}), g = random({n}), m = Tensor::zeros({n}, DType::f32),
                 v = Tensor::zeros({n}, DType::f32);
    const StepState state{.rate = 1e-4};
    const kernels::AdamUpdate<float> kernel{{p.data<float>(), p.data<float>(), g.data<float>(), m.data<float>()},
                                            v.data<float>(),
                                            &state,
                                            0.9F,
                                            0.999F,
                                            1e-8F,
                                            0,
                                            0.01F,
                                            std::log(0.9),
                                            std::log(0.999)};
    report("adamw", "s", time_calls(9, [&] { launch_elements(context_.stream(), n, kernel); }));
  }

 private:
  Stream stream_;
  StepAllocator memory_{Device::cpu()};
  Context context_{stream_, memory_};
  NoParameters store_;
  StepState state_;
};

}  // namespace
}  // namespace trireme::bench

int main(int count, char** arguments) {
  omp_set_num_threads(count > 1 ? std::atoi(arguments[1]) : omp_get_num_procs());
  const std::string part = count > 2 ? arguments[2] : "";
  trireme::bench::Bench bench;
  const std::pair<std::string, std::function<void()>> all[] = {{"attention",
                                                                [&] {
                                                                  bench.attention(4, 64, 25);
                                                                  bench.attention(1, 512, 15);
                                                                  bench.attention(1, 2048, 5);
                                                                }},
                                                               {"activations", [&] { bench.activations(); }},
                                                               {"losses", [&] { bench.losses(); }},
                                                               {"adamw", [&] { bench.adamw(); }},
                                                               {"head", [&] { bench.head(256, 3); }}};
  for (const auto& [name, run] : all)
    if (name.find(part) != std::string::npos) run();
  return 0;
}
