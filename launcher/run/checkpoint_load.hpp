// From checkpoints back into the tensors of all ranks: the newest one that is whole. Every rank reads what it needs and
// checks every byte of it; one rank's damage makes all go on to the next older checkpoint, and says so. Collective.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "launcher/run/checkpointer.hpp"

namespace trireme {

/// Checkpoint folders a path stands for, newest first: a checkpoint itself, those of a run folder, those of a folder of
/// checkpoints. Empty where there are none. Not collective.
std::vector<std::string> checkpoints_at(const std::string& path);

struct LoadedCheckpoint {
  std::string path;
  CheckpointManifest manifest;  ///< Without files and tensors.
};

/// Fills `into` from the first of `candidates` (those of rank 0 count) that is whole; damaged ones are named in
/// warnings. Nothing where there is no candidate. Error(corrupt_input) where none is whole; Error(usage) where a whole
/// one does not have exactly these tensors.
std::optional<LoadedCheckpoint> load_newest(Communicator& ranks, const std::vector<std::string>& candidates,
                                            const std::vector<NamedTensor>& into);

/// A run with --ema has two kinds of weights: those it trains, and their running average, by which it is judged.
/// Without --ema both are the same.
enum class WeightKind : std::uint8_t { trained, averaged };

/// The plane of a checkpoint that has the parameters of a kind: "average", or "param" where there is no average.
const char* plane_of(WeightKind kind, const CheckpointManifest& manifest);

struct SavedWeights {
  std::vector<std::string> candidates;  ///< Folders of checkpoints; those of rank 0 count.
  WeightKind kind = WeightKind::trained;
};

struct TakenWeights {
  std::string checkpoint;  ///< The folder they were read from.
  WeightKind kind = WeightKind::trained;
  /// A line for each tensor that the checkpoint lacks or has in another shape, and for each it has beyond.
  std::vector<std::string> differences;
};

/// Fills the parameters and states among `into` that the checkpoint has with the same shape (floating types
/// are converted). Error(usage) where not one fits, corrupt_input where no candidate is whole.
TakenWeights load_weights(Communicator& ranks, const SavedWeights& from, const std::vector<NamedTensor>& into);

}  // namespace trireme
