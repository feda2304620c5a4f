// Training steps of networks of every kind: forward, backward and Adam on one random batch. Arguments: threads, then
// names of cases (see cases()). model_peer.py has the same in PyTorch.
#include <omp.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <random>

#include "core/models/image_models.hpp"
#include "core/nn/arena.hpp"
#include "core/nn/recurrent.hpp"
#include "core/nn/transformer.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/optim/optimizer.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

constexpr std::int64_t classes = 10;

/// An LSTM over (B, T, C) whose last output is classified.
class LstmClassifier : public Module {
 public:
  explicit LstmClassifier(std::int64_t hidden) : lstm_(hidden), head_(classes) {}
  Value forward(Context& context, const Value& x) override {
    return head_.forward(context, lstm_.apply(context, x, {}).hidden.back());
  }
  void parts(Visitor& visit) override {
    visit("lstm", lstm_);
    visit("head", head_);
  }

 private:
  Lstm lstm_;
  Linear head_;
};

/// Encoder blocks over (B, T, C); every position is classified.
class EncoderClassifier : public Module {
 public:
  explicit EncoderClassifier(const TransformerOptions& options) : encoder_(options), head_(classes) {}
  Value forward(Context& context, const Value& x) override {
    const Value y = encoder_.forward(context, x);
    return head_.forward(context, ops::reshape(context, y, {y.shape()[0] * y.shape()[1], y.shape()[2]}));
  }
  void parts(Visitor& visit) override {
    visit("encoder", encoder_);
    visit("head", head_);
  }

 private:
  TransformerEncoder encoder_;
  Linear head_;
};

struct Case {
  std::string name;
  Shape input;
  std::int64_t targets;
  std::function<std::unique_ptr<Module>()> make;
};

std::vector<Case> cases() {
  const auto images = [](const char* model) {
    return [model] { return make_image_model(model, {.height = 32, .width = 32, .classes = classes}); };
  };
  const TransformerOptions encoder{.heads = 8, .inner = 1024, .layers = 2};
  return {{"resnet-18 B=32", {32, 32, 32, 3}, 32, images("resnet-18")},
          {"resnet-18 B=128", {128, 32, 32, 3}, 128, images("resnet-18")},
          {"vgg-11 B=32", {32, 32, 32, 3}, 32, images("vgg-11")},
          {"vgg-11 B=128", {128, 32, 32, 3}, 128, images("vgg-11")},
          {"lstm B=32 T=64", {32, 64, 128}, 32, [] { return std::make_unique<LstmClassifier>(256); }},
          {"lstm B=128 T=64", {128, 64, 128}, 128, [] { return std::make_unique<LstmClassifier>(256); }},
          {"attention B=16 T=128",
           {16, 128, 256},
           16 * 128,
           [encoder] { return std::make_unique<EncoderClassifier>(encoder); }},
          {"attention B=4 T=512", {4, 512, 256}, 4 * 512, [encoder] {
             return std::make_unique<EncoderClassifier>(encoder);
           }}};
}

void train(const Case& what) {
  const Stream stream;
  StepAllocator memory{Device::cpu()}, gradients(Device::cpu());
  Context context{stream, memory};
  const std::unique_ptr<Module> model = what.make();
  const ArenaLayout layout = plan_arena(
      *model, {}, [&](Context& c) { model->forward(c, Tensor::empty(what.input, DType::f32, Device::meta())); });
  Planes planes = allocate_planes(layout, Device::cpu(), gradients);
  materialize(*model, layout, planes, 1);
  std::mt19937 random(3);
  std::vector<float> numbers(static_cast<std::size_t>(what.input.elements()));
  for (float& value : numbers) value = static_cast<float>(random() % 2001) / 1000 - 1;
  std::vector<std::int32_t> labels(static_cast<std::size_t>(what.targets));
  for (auto& label : labels) label = static_cast<std::int32_t>(random() % classes);
  const Tensor x = Tensor::from(numbers, what.input), y = Tensor::from(labels, {what.targets});
  PlaneGradients store(layout, planes.grad);
  Tape tape(store);
  Optimizer optimizer({.kind = OptimizerOptions::Kind::adam}, layout, planes);
  StepState state{.rate = 1e-3};
  const auto step = [&] {
    store.begin();
    context.begin_training({.tape = &tape, .state = &state, .global_rows = what.input[0]});
    const auto loss = ops::cross_entropy(context, model->forward(context, x), y);
    tape.backward(context, loss.loss, 1.0 / static_cast<double>(what.targets));
    tape.clear();
    store.finish();
    optimizer.step(stream, &state);
    ++state.step;
  };
  for (int k = 0; k < 2; ++k) step();
  report(what.name, "s", time_calls(9, step));
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  omp_set_num_threads(std::atoi(argv[1]));
  for (const auto& one : trireme::bench::cases())
    for (int k = 2; k < argc; ++k)
      if (one.name == argv[k]) trireme::bench::train(one);
  return 0;
}
