// Ranks that work in steps with the phases of a training, and go wrong on request: one is stopped, computes for ever,
// is slow, or makes other calls than the rest.
#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "launcher/run/session.hpp"

using namespace trireme;

namespace {

struct Wishes {
  std::string stop = {}, spin = {};
  std::string calls = {};
  std::string mark = {};
  std::int64_t slow = 0;  // milliseconds
  std::int64_t steps = 20;
};

void sleep_ms(std::int64_t time) { std::this_thread::sleep_for(std::chrono::milliseconds(time)); }

class Worker {
 public:
  Worker(Session& session, const Wishes& wishes) : world_(session.world()), wishes_(wishes) {}

  void run() {
    for (std::int64_t step = 1; step <= wishes_.steps; ++step) {
      world_.log().set_step(step);
      bad_ = step == 5 && world_.rank() == 1;
      enter("data");
      sleep_ms(2);
      enter("forward");
      sleep_ms(world_.rank() == 1 ? 2 + wishes_.slow : 2);
      enter("backward");
      communicate();
      if (step % 5 != 0) continue;
      enter("checkpoint");
      world_.barrier().wait();
    }
    if (!wishes_.calls.empty()) differ();
  }

 private:
  void enter(const std::string& phase) {
    world_.log().set_phase(phase);
    if (!bad_) return;
    if (phase == wishes_.stop || phase == wishes_.spin) mark();
    if (wishes_.stop == phase) ::raise(SIGSTOP);
    if (wishes_.spin == phase)
      for (volatile bool forever = true; forever;) continue;
  }

  /// A file that tells the test that it begins now.
  void mark() const {
    if (!wishes_.mark.empty()) std::ofstream(wishes_.mark) << "now";
  }

  void communicate() {
    const Tensor sums = Tensor::zeros({4096}, DType::f32);
    // Before the call: a rank that stops behind it may have given its part already, and the others go on.
    enter("communication");
    world_.all_reduce(sums).wait();
  }

  /// Calls that no comparison inside one communicator can see: the ranks wait in different ones.
  void differ() {
    world_.log().set_phase("forward");  // the time-out of checkpoints is another one
    const auto part = world_.split(0, world_.rank(), "part");
    const Tensor values = Tensor::zeros({8}, DType::f32);
    const bool odd = world_.rank() == 1;
    if (odd) mark();
    if (wishes_.calls == "other-communicator") (odd ? *part : world_).all_reduce(values).wait();
    if (wishes_.calls == "other-call") {
      if (odd) world_.broadcast(values, 0).wait();
      if (!odd) world_.all_reduce(values).wait();
      world_.barrier().wait();
    }
  }

  Communicator& world_;
  const Wishes& wishes_;
  bool bad_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  Wishes wishes;
  OptionSet options({.name = "watch_probe", .summary = "Ranks that go wrong on request."});
  options.group("Probe")
      .add("stop", &wishes.stop, "phase of step 5 in which rank 1 is stopped")
      .add("spin", &wishes.spin, "phase of step 5 in which rank 1 computes for ever")
      .add("calls", &wishes.calls, "how the calls of rank 1 differ")
      .add("mark", &wishes.mark, "file that is written when rank 1 goes wrong")
      .add("slow", &wishes.slow, "milliseconds that each step of rank 1 takes longer")
      .add("steps", &wishes.steps, "steps to take");
  return run_program(options, {argc, argv}, [&](Session& session) { Worker(session, wishes).run(); });
}
