// Reads metrics.jsonl of a run folder and writes the curve next to it, or where --out says.
#include "launcher/job/plot_command.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/training_curve.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

int plot_command(std::span<const std::string> args) {
  std::string out;
  std::vector<std::string> folders;
  OptionSet options({.name = "trireme plot",
                     .summary = "draws loss and validation accuracy of a run as SVG",
                     .examples = {"trireme plot runs/first", "trireme plot runs/first --out curve.svg"},
                     .sources = OptionSources::command_line_only});
  options.group("Output").add("out,o", &out, "file to write; empty: curve.svg in the run folder");
  options.positional("RUN_FOLDER", &folders, "the folder that holds metrics.jsonl");
  if (options.parse({args.begin(), args.end()}) == ParseOutcome::exit_done) return 0;
  if (folders.size() != 1) {
    fail(ExitCode::usage, "trireme plot: found {} run folders, wanted one: trireme plot RUN_FOLDER", folders.size());
  }
  const std::string file = folders[0] + "/metrics.jsonl";
  if (!std::filesystem::exists(file)) {
    fail(ExitCode::usage,
         "trireme plot: there is no '{}'; give the folder of a run (its name stands in the run's first "
         "lines)",
         file);
  }
  const MetricsHistory history = read_metrics(file);
  if (history.steps.empty() && history.validations.empty()) {
    fail(ExitCode::usage, "trireme plot: '{}' holds no step yet; wait for the run's first records", file);
  }
  if (out.empty()) out = folders[0] + "/curve.svg";
  const std::filesystem::path folder = std::filesystem::path(folders[0]).lexically_normal();
  const std::string name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  write_file_atomically(out, training_curve_svg(history, name), FileAccess::readable);
  std::puts(out.c_str());
  return 0;
}

}  // namespace trireme
