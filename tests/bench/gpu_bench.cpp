// Whole training steps of GPT-2 models on random tokens, and memory-bound kernels one by one, on a GPU (or, to check
// the benchmark itself, on a CPU). tests/bench/gpu.py runs it. Arguments: device (cpu, cuda:N), element type, then
// names of cases; `kernels` is one of them. A case ends in its batch and sequence length: "gpt2-124M B=64 T=1024".
#include <cstdlib>
#include <random>
#include <regex>

#include "core/device/cuda.hpp"
#include "core/device/cuda_graph.hpp"
#include "core/kernels/launch.hpp"
#include "core/models/generate.hpp"
#include "core/nn/arena.hpp"
#include "core/ops/activation.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/linear_cross_entropy.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/ops/softmax.hpp"
#include "core/optim/optimizer.hpp"
#include "core/optim/step_control.hpp"
#include "launcher/run/device_choice.hpp"
#include "launcher/run/step_graphs.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

/// 50257 tokens rounded up, as is usual for products on a GPU.
constexpr std::int64_t padded_vocabulary = 50304;

struct Case {
  std::string name;
  Gpt2Config config;
  std::int64_t rows = 0, tokens = 0;
};

Gpt2Config config_of(const std::string& model) {
  if (model == "gpt2-124M") return {.vocabulary = padded_vocabulary};
  if (model == "gpt2-350M")
    return {.vocabulary = padded_vocabulary, .width = 1024, .layers = 24, .heads = 16, .inner = 4096};
  if (model == "gpt2-1558M")
    return {.vocabulary = padded_vocabulary, .width = 1600, .layers = 48, .heads = 25, .inner = 6400};
  if (model == "tiny") return {.vocabulary = 128, .context = 64, .width = 32, .layers = 2, .heads = 2, .inner = 128};
  fail(ExitCode::usage, "no model is called {}; there are gpt2-124M, gpt2-350M, gpt2-1558M and tiny", model);
}

Case parse(const std::string& name) {
  std::smatch parts;
  require(std::regex_match(name, parts, std::regex(R"((\S+) B=(\d+) T=(\d+))")),
          "a case is called '{}'; wanted MODEL B=ROWS T=TOKENS", name);
  return {name, config_of(parts[1]), std::stoll(parts[2]), std::stoll(parts[3])};
}

Tensor random_ids(const Case& what, Device device) {
  std::mt19937 bits(7);
  std::uniform_int_distribution<std::int32_t> draw(0, static_cast<std::int32_t>(what.config.vocabulary - 1));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(what.rows * what.tokens));
  for (std::int32_t& id : ids) id = draw(bits);
  return Tensor::from(ids, {what.rows, what.tokens}, device);
}

/// A model with everything a training step needs; step() queues one and never waits.
class Training {
 public:
  Training(const Case& what, const Stream& stream, DType dtype)
      : what_(what), stream_(stream), model_(make_language_model(what.config)), ids_(random_ids(what, device())) {
    layout_ = plan_arena(*model_, {.dtype = dtype}, [&](Context& c) {
      model_->hidden(c, {.ids = Tensor::empty(ids_.shape(), DType::i32, Device::meta())});
      model_->head(c);
    });
    planes_ = allocate_planes(layout_, device(), system_allocator(device()));
    materialize(*model_, layout_, planes_, 1);
    store_ = std::make_unique<PlaneGradients>(layout_, planes_.grad);
    tape_ = std::make_unique<Tape>(*store_);
    optimizer_ = std::make_unique<Optimizer>(
        OptimizerOptions{.kind = OptimizerOptions::Kind::adamw, .weight_decay = 0.1}, layout_, planes_);
    control_ = std::make_unique<StepControl>(
        device(), StepControlOptions{.nominal = static_cast<double>(ids_.elements()), .clip = 1});
    if (device().is_cuda()) graphs_ = std::make_unique<StepGraphs>(make_recorder(stream));
  }

  void step() {
    control_->begin(stream_, {.step = steps_++, .rate = 1e-4});
    store_->begin();
    if (graphs_) {
      graphs_->run(0, {.input = "",
                       .run = [this] { micro_batch(); },
                       .state = [this] { return store_->touched(); },
                       .set_state =
                           [this](const std::vector<char>& touched) {
                             tape_->clear();
                             store_->set_touched(touched);
                           }});
    } else {
      micro_batch();
    }
    update();
  }
  /// Everything of a step as one recording, for what it takes with no host in between.
  void whole_step() {
    control_->begin(stream_, {.rate = 1e-4});
    store_->begin();
    micro_batch();
    update();
  }
  StepOutcome outcome() const { return control_->outcome(); }
  double tokens() const { return static_cast<double>(ids_.elements()); }
  double flops_per_token() const { return model_->training_flops_per_token(what_.tokens); }
  std::string refusal() const { return graphs_ ? graphs_->refusal() : "no GPU"; }

 private:
  Device device() const { return stream_.device(); }
  void micro_batch() {
    const std::int64_t count = ids_.elements();
    context_.begin_training({.tape = tape_.get(), .device_state = control_->state()});
    const Value hidden = model_->hidden(context_, {.ids = ids_});
    const auto loss = ops::linear_cross_entropy(
        context_, {ops::reshape(context_, hidden, {count, what_.config.width}), model_->head(context_)},
        ids_.reshape({count}), {});
    control_->add(stream_, loss.loss.tensor(), loss.totals.slice(1, 1));
    tape_->backward(context_, loss.loss, 1.0 / static_cast<double>(count));
    tape_->clear();
  }
  void update() {
    control_->add_norm(stream_, planes_.grad);
    control_->decide(stream_);
    optimizer_->step(stream_, control_->state());
  }

  Case what_;
  const Stream& stream_;
  StepAllocator memory_{stream_.device()};
  Context context_{stream_, memory_};
  std::unique_ptr<LanguageModel> model_;
  Tensor ids_;
  ArenaLayout layout_;
  Planes planes_;
  std::unique_ptr<PlaneGradients> store_;
  std::unique_ptr<Tape> tape_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<StepControl> control_;
  std::unique_ptr<StepGraphs> graphs_;
  std::int64_t steps_ = 0;
};

/// Seconds a step takes on the GPU when nothing has to wait for the host.
double seconds_in_kernels(Training& training, const Stream& stream) {
  CudaGraph graph;
  graph.record(stream, [&] { training.whole_step(); });
  graph.launch(stream);
  stream.synchronize();
  constexpr int times = 5;
  const double milliseconds = cuda::time_work(stream.native(), [&] {
    for (int k = 0; k < times; ++k) graph.launch(stream);
  });
  stream.synchronize();
  return milliseconds / 1e3 / times;
}

void train(const Case& what, const Stream& stream, DType dtype) {
  Training training(what, stream, dtype);
  for (int k = 0; k < StepGraphs::warm_up + 2; ++k) training.step();
  stream.synchronize();
  constexpr int together = 5;
  const Samples seconds = time_calls(5, [&] {
    for (int k = 0; k < together; ++k) training.step();
    stream.synchronize();
  });
  const StepOutcome outcome = training.outcome();
  require(outcome.skip == 0 && outcome.loss < 30, "{}: the loss is {}: a wrong step has no speed", what.name,
          outcome.loss);
  const Samples each{seconds.median / together, seconds.least / together, seconds.most / together};
  report(what.name + " step", "s", each);
  report(what.name + " tokens", "tokens/s", each.rate(training.tokens()));
  report(what.name + " flops", "FLOP/token", Samples::of({training.flops_per_token()}));
  report(what.name + " loss", "", Samples::of({outcome.loss}));
  if (!stream.device().is_cuda()) return;
  if (!training.refusal().empty()) fmt::print(stderr, "{}: no graph: {}\n", what.name, training.refusal());
  report(what.name + " kernels", "s", Samples::of({seconds_in_kernels(training, stream)}));
}

/// Seconds of one call, in the time of the device.
Samples seconds_of(const Stream& stream, const std::function<void()>& call) {
  if (!stream.device().is_cuda()) return time_calls(5, call);
  call();
  std::vector<double> seconds;
  constexpr int times = 20;
  for (int round = 0; round < 5; ++round)
    seconds.push_back(cuda::time_work(stream.native(),
                                      [&] {
                                        for (int k = 0; k < times; ++k) call();
                                      }) /
                      1e3 / times);
  return Samples::of(std::move(seconds));
}

/// Rows of 768 numbers, as many as make `megabytes` of them.
class Kernels {
 public:
  Kernels(const Stream& stream, DType dtype, std::int64_t megabytes)
      : stream_(stream),
        dtype_(dtype),
        rows_(megabytes * (1 << 20) / 768 / static_cast<std::int64_t>(size_of(dtype))) {}

  void run() {
    const Tensor x = noise({rows_, 768}), y = Tensor::empty(x.shape(), dtype_, stream_.device());
    const auto bytes = static_cast<double>(x.bytes());
    figure("copy", 2 * bytes, [&] { y.copy_from(x, stream_); });
    figure("gelu", 2 * bytes, [&] { ops::gelu(context_, x, ops::GeluForm::tanh_fit); });
    figure("softmax", 2 * bytes, [&] { ops::softmax(context_, x); });
    const Tensor gain = noise({768}), bias = noise({768});
    figure("layer_norm", 2 * bytes, [&] { ops::layer_norm(context_, x, {gain, bias}); });
    std::vector<std::int32_t> labels(static_cast<std::size_t>(rows_));
    for (std::size_t k = 0; k < labels.size(); ++k) labels[k] = static_cast<std::int32_t>(k % 768);
    const Tensor places = Tensor::from(labels, {rows_}, stream_.device());
    figure("cross_entropy", bytes, [&] { ops::cross_entropy(context_, x, places); });
    const Tensor flat = x.reshape({x.elements()});
    const Tensor partials = Tensor::empty({norm_partials(flat.elements())}, DType::f64, stream_.device());
    figure("squared_norm", bytes, [&] { plane_squares(stream_, flat, partials); });
    adam();
  }

 private:
  struct Net : Module {
    explicit Net(std::int64_t n) : weight({n}, Initializer::normal(1)) {}
    Parameter weight;
    Value forward(Context&, const Value& x) override { return x; }
    void parts(Visitor& visit) override { visit("weight", weight); }
  };

  /// Reads gradient, value and two moments, writes all but the gradient: 28 bytes a parameter in f32.
  void adam() {
    Net net(rows_ * 768);
    const ArenaLayout layout = plan_arena(net, {.dtype = DType::f32}, [](Context&) {});
    const Planes planes = allocate_planes(layout, stream_.device(), system_allocator(stream_.device()));
    materialize(net, layout, planes, 1);
    planes.grad.fill_zero(stream_);
    Optimizer optimizer({.kind = OptimizerOptions::Kind::adamw}, layout, planes);
    const StepControl control(stream_.device(), {});
    figure("adam_update", 7 * static_cast<double>(planes.grad.bytes()),
           [&] { optimizer.step(stream_, control.state()); });
  }
  void figure(const std::string& name, double bytes, const std::function<void()>& call) {
    report("kernel " + name, "GB/s", seconds_of(stream_, call).rate(bytes / 1e9));
  }
  Tensor noise(const Shape& shape) const {
    std::mt19937 bits(3);
    std::normal_distribution<float> draw;
    const Tensor out = Tensor::empty(shape, dtype_, stream_.device());
    with_floating(dtype_, "noise", [&](auto zero) {
      std::vector<decltype(zero)> values(static_cast<std::size_t>(shape.elements()));
      for (auto& value : values) value = decltype(zero)(draw(bits));
      out.copy_from(Tensor::from(values, shape, stream_.device()), stream_);
    });
    stream_.synchronize();
    return out;
  }

  const Stream& stream_;
  DType dtype_;
  std::int64_t rows_;
  StepAllocator memory_{stream_.device()};
  Context context_{stream_, memory_};
};

int run(int argc, char** argv) {
  if (argc < 4) return 2;
  try {
    const Stream stream(choose_device(DeviceRequest::parse(argv[1])));
    const DType dtype = parse_dtype(argv[2]);
    for (int k = 3; k < argc; ++k) {
      const std::string name = argv[k];
      if (name.starts_with("kernels")) {
        Kernels(stream, dtype, name == "kernels" ? 256 : 4).run();
      } else {
        train(parse(name), stream, dtype);
      }
    }
  } catch (const Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) { return trireme::bench::run(argc, argv); }
