// What a PATH given to `trireme checkpoint` means: a run folder, a folder of checkpoints, or one checkpoint.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/run/checkpoint_reader.hpp"
#include "launcher/run/checkpoint_store.hpp"

namespace trireme {

struct CheckpointPlace {
  enum class Kind { run, checkpoints, one };
  Kind kind = Kind::checkpoints;
  std::string folder;                           ///< That holds the checkpoints.
  std::string run;                              ///< The run folder around it; empty where there is none.
  std::vector<CheckpointStore::Entry> entries;  ///< Oldest first; only the one that was named.
  std::vector<std::string> leftovers;           ///< CheckpointStore::leftovers().
};

/// Looks without opening any checkpoint. Usage error for a path that is none of the three; `command` begins its text.
CheckpointPlace find_checkpoints(const std::string& command, const std::string& path);

/// A checkpoint as far as manifest and file sizes tell: a reader, or what is wrong with it.
struct CheckpointLook {
  CheckpointStore::Entry entry;
  std::unique_ptr<CheckpointReader> reader;
  std::string problem;
};

CheckpointLook look_at(const CheckpointStore::Entry& entry);

/// Looks at all of the place, oldest first; one that a running job removed meanwhile is left out.
std::vector<CheckpointLook> look_at_all(const CheckpointPlace& place);

/// The newest one that is whole as far as manifest and file sizes tell, with a warning for each newer one that is not.
/// corrupt_input where there is none.
std::unique_ptr<CheckpointReader> open_newest(const CheckpointPlace& place);

/// Of all files the manifest names.
std::int64_t total_bytes(const CheckpointManifest& manifest);

}  // namespace trireme
