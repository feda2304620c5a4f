// Gathers values from the command line (split by Boost.Program_options), the environment and an INI file, and applies
// them from the weakest source to the strongest, so that a value that loses is still checked.
#include "launcher/run/options.hpp"

#include <algorithm>
#include <boost/program_options.hpp>
#include <boost/version.hpp>
#include <cctype>
#include <cstdlib>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "launcher/run/option_tables.hpp"
#include "launcher/run/option_value.hpp"
#include "launcher/run/print.hpp"

extern char** environ;

namespace trireme {
namespace {

namespace po = boost::program_options;
constexpr std::string_view environment_prefix = "TRIREME_";
constexpr std::size_t most_file_bytes = std::size_t{1} << 20;

/// Set by the launcher for the processes it starts; never options.
const std::vector<std::string> reserved_variables = {"TRIREME_JOB", "TRIREME_PROGRESS_PAGE", "TRIREME_RANK_LOG_DIR",
                                                     "TRIREME_TERMINAL"};

std::string variable_of(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return std::string(environment_prefix) + name;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

/// Boost refuses "--name=" but takes "--name" followed by an empty word.
std::vector<std::string> with_empty_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  for (const std::string& one : arguments) {
    const bool empty_value = one.starts_with("--") && one.size() > 3 && one.find('=') == one.size() - 1;
    out.push_back(empty_value ? one.substr(0, one.size() - 1) : one);
    if (empty_value) out.emplace_back();
  }
  return out;
}

}  // namespace

struct OptionSet::Assignment {
  detail::Option* option;
  std::string value;
  std::string origin;
};

OptionSet::OptionSet(ProgramText text) : text_(std::move(text)), reserved_(reserved_variables) {
  OptionGroup& own = group("General");
  if (text_.sources == OptionSources::all) {
    own.add("config", &config_file_, "read options from this INI file");
    own.add("print-config", &print_asked_, "print every value with its origin and exit");
  }
  own.add("help,h", &help_asked_, "print this text and exit");
}

OptionSet::~OptionSet() = default;

OptionGroup& OptionSet::group(const std::string& title) {
  for (const auto& known : groups_) {
    if (known->title_ == title) return *known;
  }
  return *groups_.emplace_back(std::make_unique<OptionGroup>(title));
}

void OptionSet::take_from_run(const std::string& name, const std::string& description) {
  run_option_ = name;
  group("Options").add(name, &run_, description);
}

void OptionSet::positional(const std::string& name, std::vector<std::string>* values, const std::string& description) {
  positional_ = values;
  positional_name_ = name;
  positional_description_ = description;
}

void OptionSet::reserve_environment(const std::string& variable) { reserved_.push_back(variable); }

detail::Option* OptionSet::find(const std::string& name) const {
  for (const auto& one : groups_) {
    for (const auto& option : one->options_) {
      if (option->name == name) return option.get();
    }
  }
  return nullptr;
}

bool OptionSet::stands_in_files(const detail::Option* option) const {
  const auto same = [&](const auto& one) { return one.get() == option; };
  return std::none_of(groups_.front()->options_.begin(), groups_.front()->options_.end(), same);
}

std::vector<std::string> OptionSet::names() const {
  std::vector<std::string> out;
  for (const auto& one : groups_) {
    for (const auto& option : one->options_) out.push_back(option->name);
  }
  return out;
}

void OptionSet::unknown(const std::string& name, const std::string& origin) const {
  const std::string nearest = nearest_name(name, names());
  const std::string advice = nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
  fail(ExitCode::usage, "{}: no option is called '{}' ({}){}{}", text_.name, name, origin, advice,
       nearest.empty() ? "; --help lists them" : "");
}

std::vector<OptionSet::Assignment> OptionSet::read_command_line(const std::vector<std::string>& arguments) {
  po::options_description known;
  for (const auto& one : groups_) {
    for (const auto& option : one->options_) {
      const std::string both = option->name + (option->short_name.empty() ? "" : "," + option->short_name);
      auto* value = po::value<std::string>();
      if (option->flag) value->implicit_value("true");
      known.add_options()(both.c_str(), value, "");
      if (option->flag) known.add_options()(("no-" + option->name).c_str(), po::bool_switch(), "");
    }
  }
  // Guessing abbreviations would let a new option change what an old command line means.
  const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  std::vector<Assignment> out;
  try {
    const auto parsed =
        po::command_line_parser(with_empty_values(arguments)).options(known).style(style).allow_unregistered().run();
    for (const auto& item : parsed.options) {
      const bool named = item.position_key < 0 && !item.string_key.empty();
      if (!named) {
        add_positional(item.original_tokens.at(0));
      } else {
        out.push_back(assignment_of(item.string_key, item.value));
      }
    }
  } catch (const po::error& error) {
    fail(ExitCode::usage, "{}: {} (command line); --help lists the options", text_.name, error.what());
  }
  return out;
}

void OptionSet::add_positional(const std::string& argument) {
  if (positional_ == nullptr) {
    fail(ExitCode::usage, "{}: the argument '{}' has no option before it; write --NAME VALUE, --help lists the names",
         text_.name, argument);
  }
  positional_->push_back(argument);
}

OptionSet::Assignment OptionSet::assignment_of(const std::string& key, const std::vector<std::string>& values) const {
  std::string name = key.substr(std::min(key.find_first_not_of('-'), key.size()));
  const bool negated = name.starts_with("no-") && find(name) == nullptr && find(name.substr(3)) != nullptr;
  detail::Option* option = find(negated ? name.substr(3) : name);
  if (option == nullptr || (negated && !option->flag)) unknown(name, "command line");
  if (negated) return {option, "false", "command line"};
  // A flag alone has no value in Boost's list.
  return {option, values.empty() ? (option->flag ? "true" : "") : values[0], "command line"};
}

std::vector<OptionSet::Assignment> OptionSet::read_environment() {
  std::vector<Assignment> out;
  std::vector<std::string> candidates;
  for (const std::string& name : names()) candidates.push_back(variable_of(name));
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with(environment_prefix)) continue;
    const std::size_t equals = text.find('=');
    const std::string variable(text.substr(0, equals));
    const auto at = std::find(candidates.begin(), candidates.end(), variable);
    if (at != candidates.end()) {
      detail::Option* option = find(names()[static_cast<std::size_t>(at - candidates.begin())]);
      out.push_back({option, std::string(text.substr(equals + 1)), "environment " + variable});
    } else if (std::find(reserved_.begin(), reserved_.end(), variable) == reserved_.end()) {
      const std::string nearest = nearest_name(variable, candidates);
      const std::string advice = nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
      warnings_.push_back(
          fmt::format("the environment variable {} is no option of {} and is ignored{}", variable, text_.name, advice));
    }
  }
  return out;
}

std::vector<OptionSet::Assignment> OptionSet::read_ini(const std::string& path, Unknown unknown_names) const {
  std::string text;
  try {
    text = read_file(path, most_file_bytes);
  } catch (const Error& error) {
    const std::string from = unknown_names == Unknown::passed_over          ? fmt::format("--{}: ", run_option_)
                             : text_.sources == OptionSources::file_operand ? ""
                                                                            : "--config: ";
    fail(ExitCode::usage, "{}: {}{}", text_.name, from, error.what());
  }
  std::vector<Assignment> out;
  std::size_t begin = 0;
  for (int number = 1; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    // Sections are headings for the reader: names are unique in the whole program.
    if (line.empty() || line[0] == '#' || line[0] == ';' || (line[0] == '[' && line.back() == ']')) continue;
    const std::string origin = fmt::format("{}:{}", path, number);
    const std::size_t equals = line.find('=');
    const std::string name(trimmed(line.substr(0, equals)));
    if (equals == std::string_view::npos || name.empty()) {
      fail(ExitCode::usage, "{}: found '{}', wanted a line 'name = value', '# comment' or '[heading]'", origin, line);
    }
    detail::Option* option = find(name);
    if (option == nullptr && unknown_names == Unknown::passed_over) continue;
    if (option == nullptr || !stands_in_files(option)) unknown(name, origin);
    const auto value = detail::unquote_ini(std::string(trimmed(line.substr(equals + 1))));
    if (!value) {
      fail(ExitCode::usage, "{}: the value of '{}' begins with a quote that never ends; close it", origin, name);
    }
    out.push_back({option, *value, origin});
  }
  return out;
}

void OptionSet::apply(const std::vector<Assignment>& assignments) {
  for (const Assignment& one : assignments) {
    if (!one.option->set(one.value)) {
      fail(ExitCode::usage, "{}: option '{}' ({}): found '{}', wanted {}", text_.name, one.option->name, one.origin,
           one.value, one.option->wanted);
    }
    one.option->origin = one.origin;
  }
}

ParseOutcome OptionSet::parse(int argc, const char* const* argv) {
  return parse(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}

ParseOutcome OptionSet::parse(const std::vector<std::string>& arguments) {
  if (OptionTables* tables = OptionTables::current()) {
    tables->add(table());
    return ParseOutcome::exit_done;
  }
  for (const auto& one : groups_) {
    for (const auto& option : one->options_) option->default_text = option->get();
  }
  std::vector<Assignment> line = read_command_line(arguments), environment;
  if (text_.sources == OptionSources::all) environment = read_environment();
  // --config and --help steer the rest, so they are looked at first.
  for (const auto* source : {&environment, &line}) {
    for (const Assignment& one : *source) {
      const std::string& name = one.option->name;
      if (one.option == find("config") || name == "help" || name == run_option_) one.option->set(one.value);
    }
  }
  if (help_asked_) {
    if (speaks_for_job()) print_out(help());
    return ParseOutcome::exit_done;
  }
  if (!run_.empty()) apply(read_ini(run_ + "/config.ini", Unknown::passed_over));
  const bool operand = text_.sources == OptionSources::file_operand && positional_ != nullptr && !positional_->empty();
  if (operand) config_file_ = positional_->front();
  if (!config_file_.empty()) apply(read_ini(config_file_, Unknown::refused));
  apply(environment);
  apply(line);
  if (speaks_for_job()) {
    for (const std::string& warning : warnings_) log::warning("{}", warning);
  }
  if (!print_asked_) return ParseOutcome::run;
  if (speaks_for_job()) print_out(to_ini());
  return ParseOutcome::exit_done;
}

std::vector<ResolvedOption> OptionSet::resolved() const {
  std::vector<ResolvedOption> out;
  for (const auto& one : groups_) {
    if (one->title_ == "General") continue;
    for (const auto& option : one->options_) out.push_back({one->title_, option->name, option->get(), option->origin});
  }
  return out;
}

std::string OptionSet::to_ini() const {
  std::string out = fmt::format("# {}: every option with its origin{}\n", text_.name,
                                text_.sources == OptionSources::all ? "; read back by --config" : ""),
              group;
  for (const ResolvedOption& one : resolved()) {
    if (one.group != group) out += fmt::format("\n[{}]\n", one.group);
    group = one.group;
    out += fmt::format("# {}\n{} = {}\n", one.origin, one.name, detail::quote_ini(one.value));
  }
  return out;
}

std::string nearest_name(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  // A third of the letters may differ: beyond that a proposal would be noise.
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const auto [shorter, longer] = std::minmax({word.size(), candidate.size()});
    if (longer - shorter >= best_distance) continue;  // so many letters differ at least
    const std::size_t distance = detail::edit_distance(word, candidate);
    if (distance < best_distance) best_distance = distance, best = candidate;
  }
  return best;
}

std::pair<std::vector<std::string>, std::vector<std::string>> split_at_dashes(
    const std::vector<std::string>& arguments) {
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  const auto after = dashes == arguments.end() ? dashes : dashes + 1;
  return {{arguments.begin(), dashes}, {after, arguments.end()}};
}

bool speaks_for_job() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* value = std::getenv(variable)) return std::string_view(value) == "0";
  }
  return true;
}

std::string boost_version() {
  return fmt::format("{}.{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100);
}

}  // namespace trireme
