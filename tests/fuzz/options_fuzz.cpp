// Option files and command lines (OptionSet). The input is a file for --config; the lines after the heading
// [command line], if there is one, are also given as words. What was taken must come back from to_ini().
#include <cstdlib>

#include "launcher/run/options.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

constexpr std::string_view words_heading = "[command line]\n";

enum class Rule { plain, momentum, adam };

/// A program with an option of each kind.
struct Program {
  Program() {
    options.group("Training")
        .add("epochs,e", &epochs, "passes over the data", {.low = 1, .high = 1000})
        .add("rate", &rate, "learning rate", {.low = 0, .high = 10})
        .add("scale", &scale, "any number")
        .add("seed", &seed, "any whole number")
        .add("augment", &augment, "random flips");
    options.group("Model")
        .add("hidden", &hidden, "sizes of the layers")
        .add("title,t", &title, "any text")
        .add("shape", &shape, "form of the network", std::vector<std::string>{"deep", "wide"})
        .add("rule", &rule, "optimizer", {{"plain", Rule::plain}, {"momentum", Rule::momentum}, {"adam", Rule::adam}});
    options.positional("FILE", &files, "any names");
  }

  std::int64_t epochs = 1, seed = 0;
  double rate = 0.1, scale = 1;
  bool augment = false;
  std::vector<std::int64_t> hidden = {64, 32};
  std::string title = "no title", shape = "deep";
  Rule rule = Rule::adam;
  std::vector<std::string> files;
  OptionSet options{{.name = "program", .summary = "Takes anything."}};
};

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

void check_round_trip(const Program& program) {
  const auto path = fuzz::work_folder() / "again.ini";
  fuzz::write_file(path, program.options.to_ini());
  Program again;
  fuzz::demand(fuzz::takes([&] {
                 again.options.parse({"--config", path.string()});
               }),
               "--config reads what --print-config wrote");
  const auto first = program.options.resolved(), second = again.options.resolved();
  for (std::size_t i = 0; i < first.size(); ++i) {
    fuzz::demand(first[i].value == second[i].value,
                 fmt::format("option {}: '{}' comes back as '{}'", first[i].name, first[i].value, second[i].value));
  }
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  return {
      "# a comment\n[Training]\nepochs = 12\nrate=0.25\nscale = -1e-300\nseed = -7\naugment = true\n\n"
      "; another\n[Model]\nhidden = 128,64,32\ntitle = \"  with \\\"quotes\\\" \\\\ and\\n lines \"\nshape = wide\n"
      "rule = momentum\n",
      "epochs = 0\n",
      "title=\n[command line]\n--epochs\n3\n--rate=0.5\n-tname\n--no-augment\n--hidden=1,2\nfile\n--\n--title\nlast\n",
      "[command line]\n--title= x \n--augment\n--seed\n+9223372036854775807\n--scale=inf\n",
      "[command line]\n--epoch\n5\n"};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  // --help and --print-config print in one process of a job: not in this one.
  static const bool silent = ::setenv("OMPI_COMM_WORLD_RANK", "1", 1) == 0;
  fuzz::demand(silent, "the environment can be changed");
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t heading = std::min(input.find(words_heading), input.size());
  const auto path = fuzz::work_folder() / "run.ini";
  fuzz::write_file(path, input.substr(0, heading));
  std::vector<std::string> words = {"--config", path.string()};
  if (heading < input.size()) {
    for (auto& word : lines_of(input.substr(heading + words_heading.size()))) words.push_back(std::move(word));
  }
  Program program;
  if (fuzz::takes([&] { program.options.parse(words); })) check_round_trip(program);
  return 0;
}
