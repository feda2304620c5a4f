// Options of a program: named, typed, bounded, bound to the variables that receive them. One value has one origin:
// command line > environment TRIREME_NAME > INI file (--config FILE) > default. Every mistake is an Error with
// ExitCode::usage that names the option, where the value came from, what was found and what is wanted
// (docs/options.md).
//
//   OptionSet options({.name = "train", .summary = "Trains a network.", .examples = {"train --epochs 3"}});
//   options.group("Training").add("epochs,e", &settings.epochs, "passes over the data", {.low = 1});
//   if (options.parse(argc, argv) == ParseOutcome::exit_done) return 0;
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace trireme {

enum class ParseOutcome { run, exit_done };

/// Commands that start other programs read no TRIREME_ variables and no file: these belong to the started program. With
/// `file_operand` the first word without an option is the INI file.
enum class OptionSources { all, command_line_only, file_operand };

/// Inclusive bounds.
struct IntBounds {
  std::int64_t low = std::numeric_limits<std::int64_t>::min();
  std::int64_t high = std::numeric_limits<std::int64_t>::max();
};
struct RealBounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// A value as it is used, with where it came from ("command line", "environment TRIREME_X", "run.ini:4", "default").
struct ResolvedOption {
  std::string group;
  std::string name;
  std::string value;
  std::string origin;
};

struct ProgramText {
  std::string name;
  std::string summary;
  std::vector<std::string> examples = {};
  OptionSources sources = OptionSources::all;
};

struct ProgramTable;
namespace detail {
struct Option;
}

/// One titled block of options in --help and in the INI form. Those of the group "General" stand in no file.
class OptionGroup {
 public:
  explicit OptionGroup(std::string title) : title_(std::move(title)) {}

  /// A flag: --name, --name=false, --no-name.
  OptionGroup& add(const std::string& names, bool* value, const std::string& description);
  OptionGroup& add(const std::string& names, std::int64_t* value, const std::string& description,
                   IntBounds bounds = {});
  OptionGroup& add(const std::string& names, double* value, const std::string& description, RealBounds bounds = {});
  OptionGroup& add(const std::string& names, std::string* value, const std::string& description);
  /// A text that must be one of `choices`.
  OptionGroup& add(const std::string& names, std::string* value, const std::string& description,
                   std::vector<std::string> choices);
  /// Sizes separated by commas: --name 64,32.
  OptionGroup& add(const std::string& names, std::vector<std::int64_t>* value, const std::string& description,
                   IntBounds bounds = {.low = 1});

  /// An enum given by the names of its values.
  template <class Enum>
  requires std::is_enum_v<Enum> OptionGroup& add(const std::string& names, Enum* value, const std::string& description,
                                                 std::vector<std::pair<std::string, Enum>> choices);

 private:
  friend class OptionSet;
  /// Which of the choices the variable holds, and how it is given another.
  struct ChoiceAccess {
    std::function<std::size_t()> chosen;
    std::function<void(std::size_t)> choose;
  };
  OptionGroup& add_choice(const std::string& names, const std::string& description, std::vector<std::string> choices,
                          ChoiceAccess access);
  std::string title_;
  std::vector<std::shared_ptr<detail::Option>> options_;
};

class OptionSet {
 public:
  explicit OptionSet(ProgramText text);
  ~OptionSet();
  OptionSet(const OptionSet&) = delete;
  OptionSet& operator=(const OptionSet&) = delete;

  /// The group of that title, made on first use; references stay valid.
  OptionGroup& group(const std::string& title);
  /// Accepts arguments without a name, in order; without this call they are errors.
  void positional(const std::string& name, std::vector<std::string>* values, const std::string& description);
  /// An option --name FOLDER that takes over, before anything else, the values which the config.ini of a run has
  /// for options of this program; the run's other options are passed over.
  void take_from_run(const std::string& name, const std::string& description);
  /// A TRIREME_ variable that is no option of this program and no mistake either.
  void reserve_environment(const std::string& variable);

  /// Fills the bound variables. exit_done: --help or --print-config was asked for and is printed.
  ParseOutcome parse(int argc, const char* const* argv);
  ParseOutcome parse(const std::vector<std::string>& arguments);

  /// All values after parse(), in order of declaration; the same on every process started with the same options.
  std::vector<ResolvedOption> resolved() const;
  /// The values as a file that --config reads back; origins are comments.
  std::string to_ini() const;
  std::string help() const;
  /// The same as data (option_tables.hpp).
  ProgramTable table() const;
  /// Complaints that do not stop the program (unknown TRIREME_ variables), already logged by parse().
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Assignment;
  detail::Option* find(const std::string& name) const;
  bool stands_in_files(const detail::Option* option) const;
  std::vector<std::string> names() const;
  std::vector<Assignment> read_command_line(const std::vector<std::string>& arguments);
  void add_positional(const std::string& argument);
  Assignment assignment_of(const std::string& key, const std::vector<std::string>& values) const;
  std::vector<Assignment> read_environment();
  enum class Unknown { refused, passed_over };
  std::vector<Assignment> read_ini(const std::string& path, Unknown unknown_names) const;
  void apply(const std::vector<Assignment>& assignments);
  [[noreturn]] void unknown(const std::string& name, const std::string& origin) const;

  ProgramText text_;
  std::vector<std::unique_ptr<OptionGroup>> groups_;
  std::vector<std::string>* positional_ = nullptr;
  std::string positional_name_, positional_description_;
  std::vector<std::string> reserved_, warnings_;
  std::string config_file_, run_option_, run_;
  bool help_asked_ = false, print_asked_ = false;
};

/// The candidate with the smallest edit distance to `word`; empty where none is near.
std::string nearest_name(const std::string& word, const std::vector<std::string>& candidates);

/// Splits "--": what stands before and after it. Without it, everything is before.
std::pair<std::vector<std::string>, std::vector<std::string>> split_at_dashes(
    const std::vector<std::string>& arguments);

/// True in the one process of a job that talks (also before the processes know each other).
bool speaks_for_job();

std::string boost_version();

template <class Enum>
requires std::is_enum_v<Enum> OptionGroup& OptionGroup::add(const std::string& names, Enum* value,
                                                            const std::string& description,
                                                            std::vector<std::pair<std::string, Enum>> choices) {
  std::vector<std::string> texts;
  std::vector<Enum> values;
  for (const auto& [text, one] : choices) texts.push_back(text), values.push_back(one);
  return add_choice(
      names, description, std::move(texts),
      {.chosen = [value,
                  values] { return static_cast<std::size_t>(std::ranges::find(values, *value) - values.begin()); },
       .choose = [value, values](std::size_t i) { *value = values[i]; }});
}

}  // namespace trireme
