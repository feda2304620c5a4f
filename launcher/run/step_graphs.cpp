#include "launcher/run/step_graphs.hpp"

#include "core/device/cuda_graph.hpp"

namespace trireme {
namespace {

class StreamRecorder final : public Recorder {
 public:
  explicit StreamRecorder(const Stream& stream) : stream_(stream) {}
  ~StreamRecorder() override { forget(); }
  StreamRecorder(const StreamRecorder&) = delete;
  StreamRecorder& operator=(const StreamRecorder&) = delete;
  void record(int number, const std::function<void()>& work) override { graphs_[number].record(stream_, work); }
  void launch(int number) override { graphs_.at(number).launch(stream_); }
  /// A graph must have run to its end before it goes.
  void forget() override {
    try {
      if (!graphs_.empty()) stream_.synchronize();
    } catch (...) {  // the device failed, which some other call has said
    }
    graphs_.clear();
  }

 private:
  const Stream& stream_;
  std::map<int, CudaGraph> graphs_;
};

}  // namespace

std::unique_ptr<Recorder> make_recorder(const Stream& stream) { return std::make_unique<StreamRecorder>(stream); }

StepGraphs::Did StepGraphs::run(int number, const Work& work) {
  if (!refusal_.empty()) {
    work.run();
    return Did::ran;
  }
  Kind& kind = kinds_[number];
  if (kind.input != work.input) kind = {.input = work.input};
  if (kind.recorded) {
    recorder_->launch(number);
    work.set_state(kind.after);
    return Did::replayed;
  }
  if (++kind.runs > warm_up && record(number, kind, work)) {
    recorder_->launch(number);
    return Did::recorded;
  }
  work.run();
  return Did::ran;
}

/// Leaves the state of the host as run() would, or as it was.
bool StepGraphs::record(int number, Kind& kind, const Work& work) {
  const std::vector<char> before = work.state();
  recording_ = true;
  try {
    recorder_->record(number, work.run);
    recording_ = false;
  } catch (const std::exception& error) {
    recording_ = false;
    refusal_ = error.what();
    work.set_state(before);
    forget();
    return false;
  }
  kind.after = work.state();
  kind.recorded = true;
  return true;
}

void StepGraphs::forget() {
  recorder_->forget();
  kinds_.clear();
}

}  // namespace trireme
