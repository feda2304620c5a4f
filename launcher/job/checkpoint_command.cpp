#include "launcher/job/checkpoint_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/json.hpp"
#include "datasets/progress.hpp"
#include "datasets/summary.hpp"
#include "launcher/job/checkpoint_place.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr int none_whole = static_cast<int>(ExitCode::corrupt_input);

const Operands any_path{.words = "PATH", .description = "a run folder, its folder of checkpoints, or one checkpoint"};

/// The newest whole one; null where there is none.
const CheckpointLook* newest_of(const std::vector<CheckpointLook>& looks) {
  const auto at = std::find_if(looks.rbegin(), looks.rend(), [](const auto& look) { return look.reader != nullptr; });
  return at == looks.rend() ? nullptr : &*at;
}

std::string list_text(const CheckpointPlace& place, const std::vector<CheckpointLook>& looks) {
  TextTable table({{"step", Align::right},
                   {"samples", Align::right},
                   {"created"},
                   {"ranks", Align::right},
                   {"size", Align::right},
                   {"whole"}});
  std::string notes;
  for (const CheckpointLook& look : looks) {
    if (look.reader == nullptr) {
      table.add({std::to_string(look.entry.step), "-", "-", "-", "-", "no"});
      notes += fmt::format("damaged: {}\n", look.problem);
      continue;
    }
    const CheckpointManifest& manifest = look.reader->manifest();
    table.add({std::to_string(manifest.step), std::to_string(manifest.samples), manifest.created,
               std::to_string(manifest.ranks), bytes_text(total_bytes(manifest)),
               &look == newest_of(looks) ? "yes, newest" : "yes"});
  }
  for (const std::string& name : place.leftovers) {
    notes +=
        fmt::format("left over: {} (a job is at it, or was killed there; the run's next start removes it)\n", name);
  }
  if (looks.empty()) return fmt::format("no checkpoints in {}\n{}", place.folder, notes);
  return fmt::format("{}\n{}{}", place.folder, table.text(), notes);
}

Json list_json(const CheckpointPlace& place, const std::vector<CheckpointLook>& looks) {
  Json list = Json::array();
  for (const CheckpointLook& look : looks) {
    Json one{{"step", look.entry.step}, {"path", look.entry.path}, {"whole", look.reader != nullptr}};
    if (look.reader == nullptr) {
      one["problem"] = look.problem;
    } else {
      const CheckpointManifest& manifest = look.reader->manifest();
      one.update({{"samples", manifest.samples},
                  {"created", manifest.created},
                  {"ranks", manifest.ranks},
                  {"bytes", total_bytes(manifest)}});
    }
    list.push_back(std::move(one));
  }
  const CheckpointLook* newest = newest_of(looks);
  return {{"folder", place.folder},
          {"checkpoints", std::move(list)},
          {"newest", newest == nullptr ? Json(nullptr) : Json(newest->entry.step)},
          {"leftovers", place.leftovers}};
}

enum class Soundness { whole, damaged, removed };

Soundness verify_one(const CheckpointStore::Entry& entry) {
  const CheckpointLook look = look_at(entry);
  std::vector<std::string> problems;
  {
    std::optional<Progress> progress;
    std::int64_t before = 0;
    problems = verify_checkpoint(entry.path, [&](std::int64_t done, std::int64_t all) {
      if (!progress) progress.emplace("checking " + checkpoint_name(entry.step), all, "bytes");
      progress->advance(done - std::exchange(before, done));
    });
  }
  if (problems.empty() && look.reader != nullptr) {
    const CheckpointManifest& manifest = look.reader->manifest();
    print_out(fmt::format("whole: {}, every byte checked: {} tensors in {} files, {}\n", entry.path,
                          manifest.tensors.size(), manifest.files.size(), bytes_text(total_bytes(manifest))));
    return Soundness::whole;
  }
  std::error_code ignored;
  if (!std::filesystem::exists(entry.path, ignored)) {
    log::warning("{} was removed meanwhile", entry.path);
    return Soundness::removed;
  }
  if (problems.empty()) problems.push_back(look.problem);
  for (const std::string& problem : problems) {
    log::error("{}: {}", checkpoint_name(entry.step), harmless(problem));
  }
  log::error("{} is damaged: {} problem{}", entry.path, problems.size(), problems.size() == 1 ? "" : "s");
  return Soundness::damaged;
}

}  // namespace

int checkpoint_list_command(std::span<const std::string> args) {
  constexpr const char* name = "trireme checkpoint list";
  bool json = false;
  CommandLine line({.name = name,
                    .summary = "checkpoints with step, size, and whether manifest and file sizes are whole; ends with "
                               "15 where none is",
                    .examples = {"trireme checkpoint list runs/first", "trireme checkpoint list runs/first --json"}},
                   any_path);
  line.options().add("json", &json, "print one JSON object");
  const auto words = line.parse(args);
  if (!words) return 0;
  const CheckpointPlace place = find_checkpoints(name, words->front());
  const std::vector<CheckpointLook> looks = look_at_all(place);
  if (json) {
    print_json(list_json(place, looks));
  } else {
    print_out(list_text(place, looks));
  }
  return newest_of(looks) == nullptr ? none_whole : 0;
}

int checkpoint_verify_command(std::span<const std::string> args) {
  constexpr const char* name = "trireme checkpoint verify";
  bool all = false;
  CommandLine line(
      {.name = name,
       .summary = "checks every byte of the newest checkpoint; ends with 0 where it is whole, else with 15",
       .examples = {"trireme checkpoint verify runs/first", "trireme checkpoint verify runs/first --all",
                    "trireme checkpoint verify runs/first/checkpoints/step_00001000"}},
      any_path);
  line.options().add("all", &all, "check all checkpoints, not the newest alone");
  const auto words = line.parse(args);
  if (!words) return 0;
  const CheckpointPlace place = find_checkpoints(name, words->front());
  std::size_t whole = 0, damaged = 0;
  for (std::size_t k = all || place.entries.empty() ? 0 : place.entries.size() - 1; k < place.entries.size(); ++k) {
    const Soundness verdict = verify_one(place.entries[k]);
    if (verdict == Soundness::whole) ++whole;
    if (verdict == Soundness::damaged) ++damaged;
  }
  if (whole + damaged == 0) fail(ExitCode::corrupt_input, "{}: there is no checkpoint in '{}'", name, place.folder);
  return damaged > 0 ? none_whole : 0;
}

int checkpoint_command(std::span<const std::string> args) {
  return run_sub_command(
      {.name = "trireme checkpoint",
       .summary = "what a run has saved (docs/checkpoints.md)",
       .commands = {{"list", "the checkpoints of a run, and which are whole", checkpoint_list_command},
                    {"verify", "check every byte of them", checkpoint_verify_command},
                    {"show", "what is in one: options, tensors, values", checkpoint_show_command},
                    {"diff", "how two of them differ", checkpoint_diff_command},
                    {"prune", "remove old ones", checkpoint_prune_command},
                    {"export", "write the weights for Hugging Face's libraries", checkpoint_export_command},
                    {"import", "make one from a Hugging Face model", checkpoint_import_command}}},
      args);
}

}  // namespace trireme
