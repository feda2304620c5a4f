#include "launcher/job/checkpoint_place.hpp"

#include <filesystem>
#include <ranges>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "config.ini", ignored);
}

/// The folder around `folder`, also where that is ".".
fs::path parent_of(const fs::path& folder) {
  return folder.has_parent_path() && folder.filename() != "." && folder.filename() != ".."
             ? folder.parent_path()
             : fs::canonical(folder).parent_path();
}

CheckpointPlace place_of(CheckpointPlace::Kind kind, const fs::path& folder, const fs::path& run) {
  CheckpointPlace place{.kind = kind, .folder = folder.string(), .run = run.string(), .entries = {}, .leftovers = {}};
  const CheckpointStore store(place.folder);
  place.entries = store.list();
  place.leftovers = store.leftovers();
  return place;
}

}  // namespace

CheckpointPlace find_checkpoints(const std::string& command, const std::string& path) {
  using Kind = CheckpointPlace::Kind;
  fs::path given = fs::path(path).lexically_normal();
  if (!given.has_filename() && given.has_parent_path() && given != given.root_path()) given = given.parent_path();
  std::error_code error;
  if (!fs::is_directory(given, error)) {
    const bool hidden = error && error != std::errc::no_such_file_or_directory;
    fail(ExitCode::usage, "{}: {} '{}'{}; give a run folder, its folder of checkpoints, or one step_NNNNNNNN", command,
         hidden                     ? "cannot look at"
         : fs::exists(given, error) ? "found a file"
                                    : "there is no folder",
         path, hidden ? ": " + error.message() : "");
  }
  // "." may be a checkpoint, and a link may lead to one: the name of the folder itself counts.
  const fs::path real = fs::canonical(given);
  if (const std::int64_t step = checkpoint_step(real.filename().string()); step >= 0) {
    const fs::path one = given.filename() == real.filename() ? given : real;
    return {.kind = Kind::one,
            .folder = parent_of(one).string(),
            .run = "",
            .entries = {{step, one.string()}},
            .leftovers = {}};
  }
  if (is_run(given) || fs::is_directory(given / "checkpoints"))
    return place_of(Kind::run, given / "checkpoints", given);
  const fs::path around = parent_of(given);
  CheckpointPlace place = place_of(Kind::checkpoints, given, is_run(around) ? around : "");
  if (place.entries.empty() && place.leftovers.empty() && real.filename() != "checkpoints") {
    fail(ExitCode::usage,
         "{}: '{}' is no run folder (no config.ini), no folder of checkpoints (no step_NNNNNNNN), and none itself",
         command, path);
  }
  return place;
}

CheckpointLook look_at(const CheckpointStore::Entry& entry) {
  CheckpointLook look{.entry = entry, .reader = nullptr, .problem = ""};
  try {
    look.reader = std::make_unique<CheckpointReader>(entry.path);
  } catch (const Error& error) {
    look.problem = harmless(error.what());
  }
  return look;
}

std::vector<CheckpointLook> look_at_all(const CheckpointPlace& place) {
  std::vector<CheckpointLook> looks;
  for (const CheckpointStore::Entry& entry : place.entries) {
    CheckpointLook look = look_at(entry);
    if (look.reader != nullptr || fs::exists(entry.path)) looks.push_back(std::move(look));
  }
  return looks;
}

std::unique_ptr<CheckpointReader> open_newest(const CheckpointPlace& place) {
  // Of one that was named, the reader's own error says what is wrong.
  if (place.kind == CheckpointPlace::Kind::one) return std::make_unique<CheckpointReader>(place.entries[0].path);
  for (const CheckpointStore::Entry& entry : std::views::reverse(place.entries)) {
    CheckpointLook look = look_at(entry);
    if (look.reader != nullptr) return std::move(look.reader);
    log::warning("passed over, because it is damaged: {}", look.problem);
  }
  fail(ExitCode::corrupt_input, "there is no whole checkpoint in '{}'", place.folder);
}

std::int64_t total_bytes(const CheckpointManifest& manifest) {
  std::int64_t bytes = 0;
  for (const SavedFile& file : manifest.files) bytes += file.bytes;
  return bytes;
}

}  // namespace trireme
