#include "launcher/job/data_lines.hpp"

#include <fmt/format.h>

#include "datasets/import_lines.hpp"
#include "datasets/names.hpp"
#include "datasets/summary.hpp"
#include "launcher/job/data_target.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/print.hpp"

namespace trireme {

int import_lines_command(std::span<const std::string> args) {
  constexpr const char* name = "trireme data import lines";
  LinesImport import;
  DataTarget target;
  TestPart part;
  CommandLine line({.name = name,
                    .summary = "makes a data set from lines of text with a class each, plain or gzip-compressed",
                    .examples = {"trireme data import lines names/ --test-fraction 0.2 --out data/names",
                                 "trireme data import lines train.tsv --test test.tsv --length 200 --out data/mine"}},
                   {.words = "FOLDER | FILE",
                    .description = "a folder with a file CLASS.txt for each class, or a file of lines TEXT<TAB>CLASS"});
  line.options()
      .add("test", &import.test_source, "the same for the split test")
      .add("length", &import.length, "bytes kept of a line; 0: as many as the longest has", {.low = 0, .high = 1 << 24})
      .add("on-error", &import.on_error, "at a line that is no sample, and at a class without lines",
           {{"stop", OnError::stop}, {"skip", OnError::skip}});
  part.declare(line.options());
  target.declare(line.options());
  const auto found = line.parse(args);
  if (!found) return 0;
  needed(name, "out", target.out);
  import.source = found->front();
  import.set_aside = part.set_aside();
  target.give(import);
  import_lines(import);
  print_out(describe(Dataset::open(target.out)));
  return 0;
}

int generate_names_command(std::span<const std::string> args) {
  constexpr const char* name = "trireme data generate names";
  NamesOptions names;
  DataTarget target;
  auto seed = static_cast<std::int64_t>(names.seed);
  CommandLine line({.name = name,
                    .summary = "makes up languages and names in them, the same for the same seed",
                    .examples = {"trireme data generate names --out data/names --languages 4 --count 2000"}},
                   {.words = "", .description = "", .count = 0});
  line.options()
      .add("count", &names.count, "names for training", {.low = 1})
      .add("test-count", &names.test_count, "names for testing; 0: no split \"test\"", {.low = 0})
      .add("languages", &names.languages, "how many", {.low = 2, .high = 1000})
      .add("seed", &seed, "makes up others", {.low = 0});
  target.declare(line.options());
  if (!line.parse(args)) return 0;
  needed(name, "out", target.out);
  names.seed = static_cast<std::uint64_t>(seed);
  target.give(names);
  const GeneratedNames made = generate_names(names);
  print_out(describe(Dataset::open(target.out)));
  print_out(fmt::format("who knows the languages tells {:.1f} % of the {} names right\n", 100 * made.best_accuracy,
                        names.test_count > 0 ? "test" : "train"));
  return 0;
}

}  // namespace trireme
