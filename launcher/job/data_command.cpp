#include "launcher/job/data_command.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "datasets/import_idx.hpp"
#include "datasets/shapes.hpp"
#include "datasets/summary.hpp"
#include "datasets/verify.hpp"

namespace trireme {
namespace {

constexpr const char* overview = R"(Data sets: a folder with an index and HDF5 shards (docs/formats.md).

  trireme data import idx ...        import images and labels in the IDX format (MNIST, Fashion-MNIST)
  trireme data generate shapes ...   draw a data set of simple shapes
  trireme data info DIR              what a data set holds
  trireme data verify DIR            check every byte of it

Each of them has --help.
)";

constexpr const char* import_help =
    R"(trireme data import idx: makes a data set from IDX files, plain or gzip-compressed

  --images FILE         training images, u8 (count, H, W) or (count, H, W, C)
  --labels FILE         training labels, u8 (count)
  --test-images FILE    test images; become the split "test"
  --test-labels FILE    test labels
  --out DIR             folder of the data set; appears whole or not at all
  --name NAME           name of the data set (default: the folder's name)
  --classes A,B,C       class names in label order (default: 0, 1, ... up to the largest training label)
  --shard-rows N        samples per shard (default: as many as 256 MiB hold)
  --overwrite           replace a data set that exists
)";

constexpr const char* generate_help =
    R"(trireme data generate shapes: draws images of ten kinds of shapes, the same for the same seed

  --out DIR             folder of the data set; appears whole or not at all
  --count N             training images (default 10000)
  --test-count N        test images (default 2000; 0: no test split)
  --seed S              (default 1)
  --size N              height and width in pixels (default 28)
  --noise X             disturbance of pixels, 0 to 1 (default 0.2)
  --name NAME           name of the data set (default: the folder's name)
  --shard-rows N        samples per shard (default: as many as 256 MiB hold)
  --overwrite           replace a data set that exists
)";

constexpr const char* info_help =
    R"(trireme data info DIR: fields, splits, classes, fingerprint and origin of a data set

  --json                the same for programs
)";

constexpr const char* verify_help = R"(trireme data verify DIR: checks sizes, checksums, counts and labels of all shards

Ends with 0 when everything is whole, else with 15, and names every bad shard.
)";

/// What a sub command takes.
struct Syntax {
  const char* command;
  std::vector<std::string> with_value;
  std::vector<std::string> flags;
  std::size_t positional;
};

/// The words behind a sub command, checked against its syntax.
class Arguments {
 public:
  Arguments(std::span<const std::string> words, const Syntax& syntax) : command_(syntax.command) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (!words[i].starts_with("--")) {
        positional_.push_back(words[i]);
        continue;
      }
      const std::size_t equals = words[i].find('=');
      const std::string key = words[i].substr(0, equals);
      if (std::ranges::find(syntax.flags, key) != syntax.flags.end() && equals == std::string::npos) {
        values_[key] = "";
      } else if (std::ranges::find(syntax.with_value, key) == syntax.with_value.end()) {
        fail(ExitCode::usage, "{}: there is no option {}; see {} --help", command_, words[i], command_);
      } else if (equals != std::string::npos) {
        values_[key] = words[i].substr(equals + 1);
      } else if (i + 1 < words.size()) {
        values_[key] = words[++i];
      } else {
        fail(ExitCode::usage, "{}: {} wants a value", command_, key);
      }
    }
    if (positional_.size() != syntax.positional) {
      fail(ExitCode::usage, "{} takes {} argument{} without --, found: {}; see {} --help", command_, syntax.positional,
           syntax.positional == 1 ? "" : "s",
           positional_.empty() ? "none" : fmt::format("{}", fmt::join(positional_, " ")), command_);
    }
  }

  bool has(const std::string& key) const { return values_.contains(key); }
  const std::string& positional() const { return positional_.front(); }
  std::string text(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? "" : found->second;
  }
  std::string needed(const std::string& key) const {
    if (text(key).empty()) fail(ExitCode::usage, "{} needs {}; see {} --help", command_, key, command_);
    return text(key);
  }
  template <class Number>
  Number number(const std::string& key, Number otherwise) const {
    if (!has(key)) return otherwise;
    const std::string value = text(key);
    Number number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size()) {
      fail(ExitCode::usage, "{}: {} {} is not a number of the right kind", command_, key, value);
    }
    return number;
  }
  std::vector<std::string> list(const std::string& key) const {
    std::vector<std::string> parts;
    if (!has(key)) return parts;
    const std::string value = text(key);
    for (std::size_t begin = 0; begin <= value.size();) {
      const std::size_t end = std::min(value.find(',', begin), value.size());
      if (end == begin) fail(ExitCode::usage, "{}: {} has an empty name in '{}'", command_, key, value);
      parts.push_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
    return parts;
  }
  Existing existing() const { return has("--overwrite") ? Existing::replace : Existing::refuse; }
  std::int64_t shard_rows() const {
    const auto rows = number<std::int64_t>("--shard-rows", 0);
    if (rows < 0 || (rows == 0 && has("--shard-rows"))) {
      fail(ExitCode::usage, "{}: --shard-rows {} must be at least 1", command_, rows);
    }
    return rows;
  }

 private:
  std::string command_;
  std::map<std::string, std::string> values_;
  std::vector<std::string> positional_;
};

bool wants_help(std::span<const std::string> words) {
  return std::ranges::any_of(words, [](const std::string& word) { return word == "--help" || word == "-h"; });
}

int show(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  if (std::fflush(stdout) != 0) fail(ExitCode::storage, "cannot write to standard output");
  return 0;
}

int made(const std::string& folder) { return show(describe(Dataset::open(folder))); }

int import_command(std::span<const std::string> words) {
  if (wants_help(words)) return show(import_help);
  if (words.empty() || words.front() != "idx") {
    fail(ExitCode::usage, "trireme data import wants the kind of the files: idx; see trireme data import --help");
  }
  const Arguments args(words.subspan(1), {"trireme data import idx",
                                          {"--images", "--labels", "--test-images", "--test-labels", "--out", "--name",
                                           "--classes", "--shard-rows"},
                                          {"--overwrite"},
                                          0});
  import_idx({.images = args.needed("--images"),
              .labels = args.needed("--labels"),
              .test_images = args.text("--test-images"),
              .test_labels = args.text("--test-labels"),
              .out = args.needed("--out"),
              .name = args.text("--name"),
              .classes = args.list("--classes"),
              .shard_rows = args.shard_rows(),
              .existing = args.existing()});
  return made(args.text("--out"));
}

int generate_command(std::span<const std::string> words) {
  if (wants_help(words)) return show(generate_help);
  if (words.empty() || words.front() != "shapes") {
    fail(ExitCode::usage, "trireme data generate wants what to draw: shapes; see trireme data generate --help");
  }
  const Arguments args(words.subspan(1),
                       {"trireme data generate shapes",
                        {"--out", "--count", "--test-count", "--seed", "--size", "--noise", "--name", "--shard-rows"},
                        {"--overwrite"},
                        0});
  const ShapesOptions defaults;
  generate_shapes({.out = args.needed("--out"),
                   .name = args.text("--name"),
                   .count = args.number("--count", defaults.count),
                   .test_count = args.number("--test-count", defaults.test_count),
                   .seed = args.number("--seed", defaults.seed),
                   .size = args.number("--size", defaults.size),
                   .noise = args.number("--noise", defaults.noise),
                   .shard_rows = args.shard_rows(),
                   .existing = args.existing()});
  return made(args.text("--out"));
}

int info_command(std::span<const std::string> words) {
  if (wants_help(words)) return show(info_help);
  const Arguments args(words, {"trireme data info", {}, {"--json"}, 1});
  const Dataset dataset = Dataset::open(args.positional());
  return show(args.has("--json") ? describe_json(dataset).dump(2) + "\n" : describe(dataset));
}

int verify_command(std::span<const std::string> words) {
  if (wants_help(words)) return show(verify_help);
  const Arguments args(words, {"trireme data verify", {}, {}, 1});
  const VerifyReport report = verify_dataset(Dataset::open(args.positional()));
  for (const auto& problem : report.problems) log::error("{}: {}", problem.file, problem.what);
  if (!report.problems.empty()) {
    log::error("{} is damaged: {} problems; import the data again", args.positional(), report.problems.size());
    return static_cast<int>(ExitCode::corrupt_input);
  }
  return show(fmt::format("{} is whole: {} samples in {} shards, {}\n", args.positional(), report.samples,
                          report.shards, bytes_text(report.bytes)));
}

}  // namespace

int data_command(std::span<const std::string> args) {
  if (args.empty())
    fail(ExitCode::usage, "trireme data wants import, generate, info or verify; see trireme data --help");
  const std::string& command = args.front();
  if (command == "--help" || command == "-h") return show(overview);
  const auto rest = args.subspan(1);
  if (command == "import") return import_command(rest);
  if (command == "generate") return generate_command(rest);
  if (command == "info") return info_command(rest);
  if (command == "verify") return verify_command(rest);
  fail(ExitCode::usage, "trireme data has no command '{}'; it has import, generate, info and verify", command);
}

}  // namespace trireme
