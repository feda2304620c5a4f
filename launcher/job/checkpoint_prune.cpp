// `trireme checkpoint prune`: removes what a rule does not keep, but never under a job that holds the run folder.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/base/error.hpp"
#include "datasets/summary.hpp"
#include "launcher/job/checkpoint_command.hpp"
#include "launcher/job/checkpoint_place.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/print.hpp"
#include "launcher/run/run_lock.hpp"

namespace trireme {
namespace {

constexpr const char* prune_name = "trireme checkpoint prune";

/// Keeps jobs out of the run while it lives; null where there is no run around the checkpoints.
std::unique_ptr<RunLock> hold(const std::string& run) {
  if (run.empty()) return nullptr;
  if (const auto owner = run_owner(run)) {
    fail(ExitCode::usage,
         "{}: the run folder '{}' is in use by {}; wait for its end (it prunes by its own --keep-last)", prune_name,
         run, *owner);
  }
  return std::make_unique<RunLock>(run, prune_name);
}

/// As CheckpointStore::prune() wants it, but with the reason.
void check_newest(const CheckpointStore& store) {
  const auto entries = store.list();
  for (std::size_t k = entries.size() - std::min<std::size_t>(entries.size(), 2); k < entries.size(); ++k) {
    const CheckpointLook look = look_at(entries[k]);
    if (look.reader != nullptr) continue;
    fail(ExitCode::corrupt_input,
         "{}: nothing is removed while one of the two newest is damaged: {}; remove that one by hand, or let the run "
         "save again",
         prune_name, look.problem);
  }
}

std::string size_of_entry(const CheckpointStore::Entry& entry) {
  const CheckpointLook look = look_at(entry);
  return look.reader == nullptr ? "damaged" : bytes_text(total_bytes(look.reader->manifest()));
}

void prune(const CheckpointPlace& place, const KeepRule& rule) {
  const CheckpointStore store(place.folder);
  const auto lock = hold(place.run);
  std::string text;
  if (lock) {
    store.clean();
    for (const std::string& name : place.leftovers) text += fmt::format("cleaned up {}\n", name);
  }
  check_newest(store);
  for (const CheckpointStore::Entry& entry : store.beyond(rule)) {
    text += fmt::format("removed {}, {}\n", checkpoint_name(entry.step), size_of_entry(entry));
  }
  store.prune(rule);
  print_out(text.empty() ? "nothing to remove\n" : text);
}

void rehearse(const CheckpointPlace& place, const KeepRule& rule) {
  const CheckpointStore store(place.folder);
  check_newest(store);
  std::string text;
  for (const CheckpointStore::Entry& entry : store.beyond(rule)) {
    text += fmt::format("would remove {}, {}\n", checkpoint_name(entry.step), size_of_entry(entry));
  }
  print_out(text.empty() ? "nothing to remove\n" : text);
}

}  // namespace

int checkpoint_prune_command(std::span<const std::string> args) {
  KeepRule rule{.last = 0, .every = 0};
  bool dry_run = false;
  CommandLine line({.name = prune_name,
                    .summary = "removes old checkpoints, and what killed jobs left, of a run that no job is at",
                    .examples = {"trireme checkpoint prune runs/first --keep-last 3 --dry-run",
                                 "trireme checkpoint prune runs/first --keep-last 2 --keep-every 10000"}},
                   {.words = "PATH", .description = "a run folder, or its folder of checkpoints"});
  line.options()
      .add("keep-last", &rule.last, "keep so many of the newest; must be given", {.low = 2})
      .add("keep-every", &rule.every, "keep those whose step is a multiple of this too; 0: none", {.low = 0})
      .add("dry-run", &dry_run, "print what would be removed, remove nothing");
  const auto words = line.parse(args);
  if (!words) return 0;
  if (rule.last == 0) fail(ExitCode::usage, "{}: say how many of the newest stay: --keep-last N", prune_name);
  const CheckpointPlace place = find_checkpoints(prune_name, words->front());
  if (place.kind == CheckpointPlace::Kind::one) {
    fail(ExitCode::usage, "{}: '{}' is one checkpoint; give the run or its folder of checkpoints", prune_name,
         words->front());
  }
  if (dry_run) {
    rehearse(place, rule);
  } else {
    prune(place, rule);
  }
  return 0;
}

}  // namespace trireme
