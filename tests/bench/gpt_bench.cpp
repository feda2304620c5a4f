// Training steps and text generation of GPT-2 models: the whole step (forward, backward, norm, AdamW) on random tokens,
// its memory, and greedy decoding with a cache. Arguments: threads, then names of cases (all where none is named).
#include <omp.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "core/models/generate.hpp"
#include "core/nn/arena.hpp"
#include "core/ops/linear_cross_entropy.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/optim/optimizer.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

struct Case {
  std::string name;
  Gpt2Config config;
  std::int64_t rows, tokens;
  int times;
};

const Gpt2Config published{};  // 124 million parameters
const Gpt2Config small{.vocabulary = 1024, .context = 256, .width = 384, .layers = 6, .heads = 6, .inner = 1536};

/// A model with everything a training step needs.
struct Training {
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  std::unique_ptr<LanguageModel> model;
  ArenaLayout layout;
  Planes planes;

  Training(const Case& what, Allocator& gradients) : model(make_language_model(what.config)) {
    layout = plan_arena(*model, {}, [&](Context& c) {
      model->hidden(c, {.ids = Tensor::empty({what.rows, what.tokens}, DType::i32, Device::meta())});
      model->head(c);
    });
    planes = allocate_planes(layout, Device::cpu(), gradients);
    materialize(*model, layout, planes, 1);
  }
};

Tensor random_ids(const Case& what) {
  std::vector<std::int32_t> ids;
  for (std::int64_t k = 0; k < what.rows * what.tokens; ++k)
    ids.push_back(static_cast<std::int32_t>((k * 7919 + k * k * 31) % what.config.vocabulary));
  return Tensor::from(ids, {what.rows, what.tokens});
}

double peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

/// What a step cannot do without: weights, gradients and two moments; for each token and block the inputs of its
/// products, norms and activation (16 numbers a unit of width with inner = 4 width); the logits once.
double least_bytes(const Case& what, std::int64_t parameters) {
  const Gpt2Config& c = what.config;
  const double per_token = static_cast<double>(c.layers * (8 * c.width + 2 * c.inner) + 2 * c.width + c.vocabulary);
  return 16.0 * static_cast<double>(parameters) + 4 * per_token * static_cast<double>(what.rows * what.tokens);
}

void train(const Case& what) {
  StepAllocator gradients(Device::cpu());
  Training t(what, gradients);
  const Tensor ids = random_ids(what);
  const std::int64_t count = ids.elements();
  PlaneGradients store(t.layout, t.planes.grad);
  Tape tape(store);
  Optimizer optimizer({.kind = OptimizerOptions::Kind::adamw, .weight_decay = 0.1}, t.layout, t.planes);
  StepState state{.rate = 1e-4};
  const Samples seconds = time_calls(what.times, [&] {
    store.begin();
    t.context.begin_training({.tape = &tape, .state = &state});
    const Value hidden = t.model->hidden(t.context, {.ids = ids});
    const auto loss = ops::linear_cross_entropy(
        t.context, {ops::reshape(t.context, hidden, {count, what.config.width}), t.model->head(t.context)},
        ids.reshape({count}), {});
    tape.backward(t.context, loss.loss, 1.0 / static_cast<double>(count));
    tape.clear();
    store.finish();
    const PlaneNorm norm = plane_norm(t.stream, t.planes.grad);
    state.gradient_scale = std::min(1.0, 1.0 / std::sqrt(norm.squared));
    optimizer.step(t.stream, &state);
    ++state.step;
  });
  report(what.name + " step", "s", seconds);
  const double products = t.model->training_flops_per_token(what.tokens) * static_cast<double>(count);
  report(what.name + " GFLOP/s", "GFLOP/s", seconds.rate(products / 1e9));
  const double least = least_bytes(what, t.layout.parameters());
  report(what.name + " peak memory / least", "", Samples::of({peak_resident_bytes() / least}));
}

void write_on(const Case& what) {
  StepAllocator gradients(Device::cpu());
  Training t(what, gradients);
  std::vector<std::int32_t> prompt(16);
  std::iota(prompt.begin(), prompt.end(), 5);
  constexpr std::int64_t new_tokens = 64;
  const Samples seconds = time_calls(what.times, [&] {
    generate(*t.model, t.context, {prompt}, {.sampling = {.temperature = 0}, .new_tokens = new_tokens});
  });
  report(what.name + " tokens/s", "tokens/s", seconds.rate(static_cast<double>(new_tokens)));
}

void run(const std::string& name) {
  if (name == "gpt2-124M B=4 T=64") train({name, published, 4, 64, 5});
  if (name == "gpt2-124M B=1 T=512") train({name, published, 1, 512, 5});
  if (name == "gpt-10M B=8 T=128") train({name, small, 8, 128, 9});
  if (name == "gpt2-124M generation") write_on({name, published, 1, 16, 3});
  if (name == "gpt-10M generation") write_on({name, small, 1, 16, 5});
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) {
  if (argc > 1) omp_set_num_threads(std::atoi(argv[1]));
  if (argc < 3) return 2;
  for (int k = 2; k < argc; ++k) trireme::bench::run(argv[k]);
  return 0;
}
