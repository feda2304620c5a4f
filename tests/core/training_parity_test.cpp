// Ten training steps of whole networks against PyTorch: torchvision's ResNet-18 in its form for CIFAR, and classifiers
// of sequences with an LSTM and a GRU. First weights, images and texts are a formula that tests/golden/ops/
// make_training.py computes, too; the goldens hold losses, and of each tensor its norm and some elements.
#include "core/models/image_models.hpp"
#include "core/models/sequence_classifier.hpp"
#include "core/nn/arena.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/optim/optimizer.hpp"
#include "tests/core/golden.hpp"

namespace trireme {
namespace {

constexpr std::int64_t classes = 5;
// Of these images no number before a ReLU lies so near 0 that f32 takes it to the other side, whatever way a processor
// sums: one that does changes gradients by 1 %.
constexpr std::uint64_t places_stream = 1000, image_stream = 2004, text_stream = 3000;

/// splitmix64 of (stream, index).
std::uint64_t hashed(std::uint64_t stream, std::int64_t index) {
  std::uint64_t z = ((stream << 32) + static_cast<std::uint64_t>(index) + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double uniform(std::uint64_t stream, std::int64_t index) {
  return static_cast<double>(hashed(stream, index) >> 40) / 0x1p23 - 1;
}

template <class T>
std::vector<T> uniform_values(std::uint64_t stream, std::int64_t count) {
  std::vector<T> out;
  for (std::int64_t k = 0; k < count; ++k) out.push_back(static_cast<T>(uniform(stream, k)));
  return out;
}

/// Gains are around 1; weights have the variance 1 / inputs.
template <class T>
void first_values(std::uint64_t stream, const ArenaEntry& entry, const Tensor& to) {
  const Shape& shape = entry.parameter->shape();
  const double inputs = static_cast<double>(entry.count) / static_cast<double>(shape[0]);
  const double scale = shape.dims() > 1 ? std::sqrt(3 / inputs) : entry.name.ends_with("gain") ? 0.2 : 0.1;
  const double around = shape.dims() == 1 && entry.name.ends_with("gain") ? 1 : 0;
  T* const out = to.data<T>();
  for (std::int64_t k = 0; k < entry.count; ++k) out[k] = static_cast<T>(around + scale * uniform(stream, k));
}

Tensor labels_of(std::int64_t rows) {
  std::vector<std::int32_t> out;
  for (std::int64_t k = 0; k < rows; ++k) out.push_back(static_cast<std::int32_t>((7 * k + 3) % classes));
  return Tensor::from(out, {rows});
}

/// A network in training, and what PyTorch found.
class TrainingParity : public testing::TestWithParam<DType> {
 protected:
  using Logits = std::function<Value(Context&)>;

  void plan(Module& module, const Logits& on_meta) {
    const DType dtype = GetParam();
    layout_ = plan_arena(module, {.dtype = dtype}, on_meta);
    planes_ = allocate_planes(layout_, Device::cpu(), memory_);
    materialize(module, layout_, planes_, 1);
    std::uint64_t stream = 0;
    for (const NamedParameter& one : parameters_of(module)) {
      const ArenaEntry& entry = layout_.entries()[static_cast<std::size_t>(one.parameter->index())];
      const Tensor to = planes_.param.slice(entry.offset, entry.count);
      dtype == DType::f64 ? first_values<double>(stream++, entry, to) : first_values<float>(stream++, entry, to);
    }
  }

  /// Ten steps; compares losses, the first gradients and the last values.
  void train(const std::string& name, const OptimizerOptions& options, double rate, const Logits& logits) {
    PlaneGradients store(layout_, planes_.grad);
    Tape tape(store);
    Optimizer optimizer(options, layout_, planes_);
    const std::vector<double> losses = doubles_of(golden_.tensor(name + "/losses"));
    ASSERT_EQ(losses.size(), 10U);
    for (std::size_t step = 0; step < losses.size(); ++step) {
      const StepState state{.step = static_cast<std::int64_t>(step), .rate = rate};
      store.begin();
      context_.begin_training({.tape = &tape, .state = &state});
      const Value scores = logits(context_);
      const auto result = ops::cross_entropy(context_, scores, labels_of(scores.shape()[0]), {});
      EXPECT_NEAR(result.loss_sum() / result.target_count(), losses[step], golden_tolerance * losses[step])
          << name << " step " << step;
      tape.backward(context_, result.loss, 1 / result.target_count());
      tape.clear();
      store.finish();
      if (step == 0) compare_all(name + "/gradient/", planes_.grad);
      optimizer.step(stream_, &state);
    }
    compare_all(name + "/after/", planes_.param);
  }

  void compare_all(const std::string& prefix, const Tensor& plane) const {
    for (const ArenaEntry& entry : layout_.entries())
      compare(prefix + entry.name, plane.slice(entry.offset, entry.count));
  }
  void compare(const std::string& name, const Tensor& found) const {
    const Tensor wanted = golden_.tensor(name);
    const std::vector<double> all = doubles_of(found);
    double square = 0;
    for (const double value : all) square += value * value;
    std::vector<double> kept;
    for (std::int64_t k = 0; k + 1 < wanted.elements(); ++k) kept.push_back(all[hashed(places_stream, k) % all.size()]);
    const double norm = doubles_of(wanted)[0];
    EXPECT_NEAR(std::sqrt(square), norm, golden_tolerance * norm) << name;
    EXPECT_LE(apart(Tensor::from(kept, {wanted.elements() - 1}), wanted.slice(1, wanted.elements() - 1)),
              golden_tolerance)
        << name;
  }

  const Golden golden_{"training"};
  Stream stream_;
  StepAllocator memory_{Device::cpu()};
  Context context_{stream_, memory_};
  ArenaLayout layout_;
  Planes planes_;
};

using TrainingParityOfImages = TrainingParity;

TEST_P(TrainingParityOfImages, ResNet18) {
  const Shape shape{4, 16, 16, 3};
  const auto model = make_image_model("resnet-18", {.height = shape[1], .width = shape[2], .classes = classes});
  plan(*model, [&](Context& c) { return model->forward(c, Tensor::empty(shape, GetParam(), Device::meta())); });
  const Tensor images = Tensor::from(uniform_values<float>(image_stream, shape.elements()), shape);
  train("resnet", {.kind = OptimizerOptions::Kind::sgd}, 0.0002, [&](Context& c) { return model->forward(c, images); });
  for (const NamedState& state : states_of(*model)) compare("resnet/after/" + state.name, state.state->value());
}

INSTANTIATE_TEST_SUITE_P(Types, TrainingParityOfImages, testing::Values(DType::f32),
                         [](const auto& one) { return std::string(name_of(one.param)); });

TEST_P(TrainingParity, SequencesOfDifferentLengths) {
  constexpr std::int64_t rows = 6, time = 9;
  std::vector<std::int32_t> ids, lengths;
  for (std::int64_t k = 0; k < rows * time; ++k) ids.push_back(static_cast<std::int32_t>(hashed(text_stream, k) % 11));
  for (std::int64_t k = 0; k < rows; ++k) lengths.push_back(static_cast<std::int32_t>(1 + (5 * k + 3) % time));
  for (const bool lstm : {true, false}) {
    SequenceClassifier model({.classes = classes,
                              .vocabulary = 11,
                              .width = 6,
                              .cell = lstm ? ops::Cell::lstm : ops::Cell::gru,
                              .hidden = 5,
                              .recurrent = {.layers = 2, .directions = RecurrentLayerOptions::Directions::both}});
    plan(model, [&](Context& c) { return model.forward(c, Tensor::empty({rows, time}, DType::i32, Device::meta())); });
    train(lstm ? "lstm" : "gru", {.kind = OptimizerOptions::Kind::adamw}, 0.01, [&](Context& c) {
      return model.apply(c, Tensor::from(ids, {rows, time}), Tensor::from(lengths, {rows}));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Types, TrainingParity, testing::Values(DType::f32, DType::f64),
                         [](const auto& one) { return std::string(name_of(one.param)); });

}  // namespace
}  // namespace trireme
