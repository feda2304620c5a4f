// A training run as a user starts it (run folder, checkpoints, resume), small enough to be started hundreds of times.
// On request it keeps a ledger of the samples every rank saw, and damages the data of chosen samples.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <thread>

#include "core/io/file.hpp"
#include "core/io/hash.hpp"
#include "core/nn/layers.hpp"
#include "datasets/dataset.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/program.hpp"

using namespace trireme;

namespace {

Sequential network(const std::string& name, std::int64_t classes) {
  if (name == "mlp") return Sequential(Flatten(), Linear(16), Relu(), Linear(classes));
  return Sequential(Conv2d(4, {.padding = 1, .bias = Bias::no}), BatchNorm(), Relu(), MaxPool2d(2), Flatten(),
                    Dropout(0.2), Linear(16), Relu(), Linear(classes));
}

struct Watch {
  std::string ledger = {};         // folder; empty: none
  std::int64_t poison_first = -1;  // positions of the sample stream whose images become NaN
  std::int64_t poison_last = -1;
  double poison_factor = 0;       // not 0: they are multiplied by it instead
  std::int64_t break_first = -1;  // positions whose gradients become infinite, while their loss is sound
  std::int64_t break_last = -1;
  std::int64_t stop_at = 0;  // batch of all evaluations, counted from 1, at which rank 1 gets SIGTERM; 0: none
  std::int64_t evaluation_batch = 256;
  std::int64_t slow = 0;  // milliseconds that each step takes longer
};

/// Classification that writes down which samples came, as the hash of their images, and where in the stream.
class WatchedClassification final : public Classification {
 public:
  WatchedClassification(Module& model, const Split& split, const Watch& watch, int rank)
      : Classification(model, split, {}), watch_(watch), rank_(rank) {
    if (watch.ledger.empty()) return;
    const std::string path = fmt::format("{}/rank-{}", watch.ledger, rank);
    ledger_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (ledger_ < 0) fail(ExitCode::storage, "cannot open the ledger {}", path);
  }
  ~WatchedClassification() override {
    if (ledger_ >= 0) ::close(ledger_);
  }

  Loss loss(Context& context, const Batch& batch) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(watch_.slow));
    const Tensor& where = batch.field("image");
    const bool on_host = where.device() == Device::cpu();
    const Tensor images = on_host ? where : where.clone(Device::cpu());
    const auto bytes = images.bytes() / static_cast<std::size_t>(batch.rows());
    auto* const first = static_cast<std::byte*>(images.raw());
    std::string lines;
    for (std::int64_t row = 0; row < batch.rows(); ++row) {
      std::byte* const image = first + static_cast<std::size_t>(row) * bytes;
      const std::int64_t position = static_cast<std::int64_t>(batch.first_row_position()) + row;
      lines += fmt::format("{} {}\n", position, hash_bytes(image, bytes).hex());
      if (position < watch_.poison_first || position > watch_.poison_last) continue;
      if (watch_.poison_factor == 0) {
        std::fill(image, image + bytes, std::byte{0xff});  // all bits set: a NaN
      } else {
        for (float& pixel :
             images.span<float>().subspan(bytes / sizeof(float) * static_cast<std::size_t>(row), bytes / sizeof(float)))
          pixel *= static_cast<float>(watch_.poison_factor);
      }
    }
    if (!on_host) where.copy_from(images);
    if (ledger_ >= 0) write_all(ledger_, lines, "the ledger");
    Loss out = Classification::loss(context, batch);
    const auto begin = static_cast<std::int64_t>(batch.first_row_position()), end = begin + batch.rows();
    if (begin <= watch_.break_last && end > watch_.break_first) out.sum = broken(context, out.sum);
    return out;
  }

  std::vector<double> evaluate(Context& context, const Batch& batch) override {
    if (++evaluated_ == watch_.stop_at && rank_ == 1) std::raise(SIGTERM);
    return Classification::evaluate(context, batch);
  }
  std::int64_t evaluation_batch(std::int64_t) const override { return watch_.evaluation_batch; }

 private:
  static Value broken(Context& context, const Value& loss) {
    return context.record({"broken",
                           {&loss, 1},
                           [](Context&, Gradients& g) {
                             const Tensor infinite = g.output().clone();
                             infinite.span<float>()[0] = INFINITY;
                             g.hand_over(0, infinite);
                           }},
                          loss.tensor());
  }

  Watch watch_;
  int rank_;
  int ledger_ = -1;
  std::int64_t evaluated_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::string data, model_name = "norm";
  Watch watch;
  TrainingOptions training{.batch = 12, .validation = 0.1, .log_every = 1};
  OptionSet options({.name = "resume_probe", .summary = "A small training run that can be killed and resumed."});
  options.group("Probe")
      .add("data", &data, "folder of the data set")
      .add("model", &model_name, "the network", {"norm", "mlp"})
      .add("poison-first", &watch.poison_first, "first position of the stream whose image becomes NaN")
      .add("poison-last", &watch.poison_last, "last such position")
      .add("break-first", &watch.break_first, "first position of the stream whose gradients become infinite")
      .add("break-last", &watch.break_last, "last such position")
      .add("poison-factor", &watch.poison_factor, "the image is multiplied by it instead; 0: NaN");
  options.group("Run")
      .add("ledger", &watch.ledger, "folder for what each rank saw")
      .add("stop-at", &watch.stop_at, "batch of the evaluations at which rank 1 gets SIGTERM; 0: none")
      .add("slow", &watch.slow, "milliseconds that each step takes longer", {.low = 0})
      .add("evaluation-batch", &watch.evaluation_batch, "samples of a batch that is evaluated", {.low = 1});
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const Dataset images = Dataset::open(data);
    const auto split = images.split("train");
    Sequential model = network(model_name, ImageForm::of(*split).classes);
    WatchedClassification task(model, *split, watch, session.world().rank());
    Run run(session, options, training);
    Trainer trainer(session, task, run.split(split), training);
    run.fit(trainer);
    run.finish(trainer, images.split("test"));
  });
}
