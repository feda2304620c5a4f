// Recorded micro-batches: the work a GPU does for one is recorded once and then started with a single call, which takes
// the host out of steps of many small kernels. Each kind of micro-batch (first, middle or last of a step) has a
// recording of its own; it is made after a few ordinary runs, in which memory is found and libraries choose, and made
// anew when the place or shape of the input changes. Where something cannot be recorded, everything runs as usual.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/device/stream.hpp"

namespace trireme {

/// Keeps recordings by number.
class Recorder {
 public:
  virtual ~Recorder() = default;
  /// Records what `work` queues, instead of running it, in place of recording `number`. Throws where it cannot.
  virtual void record(int number, const std::function<void()>& work) = 0;
  virtual void launch(int number) = 0;
  virtual void forget() = 0;
};

/// Of the work queued on `stream`, which is of a GPU.
std::unique_ptr<Recorder> make_recorder(const Stream& stream);

class StepGraphs {
 public:
  /// Ordinary runs of a kind before it is recorded.
  static constexpr int warm_up = 3;
  enum class Did : std::uint8_t { ran, recorded, replayed };
  /// One micro-batch.
  struct Work {
    std::string input;          ///< Where the input lies and what shape it has.
    std::function<void()> run;  ///< Queues it.
    /// What run() leaves in the host's memory; a replay leaves the same by set_state(), an attempt that failed nothing.
    std::function<std::vector<char>()> state;
    std::function<void(const std::vector<char>&)> set_state;
  };

  explicit StepGraphs(std::unique_ptr<Recorder> recorder) : recorder_(std::move(recorder)) {}
  Did run(int kind, const Work& work);
  /// Whether run() is recording just now: what must be asked of the host for each batch has to throw then.
  bool recording() const { return recording_; }
  /// Drops all recordings, because what they use has moved.
  void forget();
  /// Why nothing is recorded any more; empty: nothing speaks against it.
  const std::string& refusal() const { return refusal_; }

 private:
  struct Kind {
    std::string input;
    int runs = 0;
    bool recorded = false;
    std::vector<char> after = {};
  };
  bool record(int number, Kind& kind, const Work& work);

  std::unique_ptr<Recorder> recorder_;
  std::map<int, Kind> kinds_;
  std::string refusal_;
  bool recording_ = false;
};

}  // namespace trireme
