// Saves the state of all ranks together. A save is: copy this rank's share (in the background form), write it to a file
// of its own, agree; the leading rank then writes the manifest and publishes the folder; agree again. A failure on any
// rank makes all give that save up, with one reason known to all; training goes on. All calls are collective, and all
// ranks get the same answers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "launcher/run/checkpoint_file.hpp"
#include "launcher/run/checkpoint_store.hpp"

namespace trireme {

/// A tensor of the state, whole and the same on all ranks.
struct NamedTensor {
  std::string plane;  ///< "param", "moment1", "moment2", "average", "state"
  std::string name;
  Shape shape;  ///< As people know it; `tensor` may be flat.
  Tensor tensor;
};

/// How a save ended, the same on all ranks.
struct SaveReport {
  std::int64_t step = 0;
  std::string error;  ///< Empty: published.
  std::string path;
  std::int64_t bytes = 0;             ///< Of all files.
  double seconds = 0;                 ///< From begin() to the end, on the leading rank.
  double stalled_seconds = 0;         ///< Of these, with training held up.
  std::vector<std::int64_t> removed;  ///< Steps of older checkpoints that the keep rule removed.
};

class Checkpointer {
 public:
  enum class Writing : std::uint8_t { at_once, in_background };
  struct Settings {
    std::string folder;  ///< The store; all ranks see it under this path.
    KeepRule keep = {};
    Writing writing = Writing::at_once;
    /// Of the device the tensors lie on: a save is a snapshot of what was queued on it before, and work queued later
    /// does not wait for the writing. It outlives the checkpointer. Null: host memory.
    const Stream* stream = nullptr;
    /// Called on the leading rank before a checkpoint is published; what it throws fails the save.
    std::function<void()> before_publishing = {};
  };
  Checkpointer(std::shared_ptr<Communicator> ranks, Settings settings);
  /// Waits for this rank's threads; a save in flight is not published.
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  const std::string& folder() const { return settings_.folder; }
  bool busy() const { return phase_ != Phase::idle; }
  /// Starts to save `tensors`; not while busy(). `head` needs no files and tensors. Written at once, the report comes
  /// with the call. The tensors may change afterwards.
  std::optional<SaveReport> begin(CheckpointManifest head, const std::vector<NamedTensor>& tensors);
  /// While busy(): whether all ranks are done. Call it after every step.
  std::optional<SaveReport> poll();
  /// Blocks until the save in flight has ended; nothing where there was none.
  std::optional<SaveReport> wait();

 private:
  enum class Phase : std::uint8_t { idle, writing, publishing };
  class Worker;

  struct Share;
  Share take_share(const std::vector<NamedTensor>& tensors);
  void start(std::function<std::string()> work);
  std::optional<SaveReport> advance();
  std::string publish(const std::vector<WrittenFile>& files);
  SaveReport end(std::string error);
  bool leads() const { return ranks_->rank() == 0; }

  std::shared_ptr<Communicator> ranks_;
  Settings settings_;
  CheckpointStore store_;
  Phase phase_ = Phase::idle;
  CheckpointManifest head_;
  SaveReport report_;
  double began_ = 0;
  std::shared_ptr<Buffer> copy_;
  std::unique_ptr<Worker> worker_;
};

/// The first rank's complaint among the ranks' (empty: none) with rank and host. Collective.
std::string first_complaint(Communicator& ranks, const std::string& mine);

}  // namespace trireme
