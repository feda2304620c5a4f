// The script holds three tables (words behind words, options of a command, values of an option) and one function that
// looks into them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "launcher/job/manual.hpp"

namespace trireme {
namespace {

using Table = std::map<std::string, std::vector<std::string>>;

/// Names and choices have letters, digits and dashes only.
std::string array_text(const char* name, const Table& table) {
  std::string out = fmt::format("declare -gA {}=(\n", name);
  for (const auto& [key, words] : table) out += fmt::format("  ['{}']='{}'\n", key, fmt::join(words, " "));
  return out + ")\n";
}

void add_options(const ProgramTable& table, Table& options, Table& values) {
  using Kind = OptionText::Kind;
  const std::string& path = table.program.name;
  for (const OptionText& option : table.options) {
    options[path].push_back("--" + option.name);
    if (option.kind == Kind::flag && option.name != "help") options[path].push_back("--no-" + option.name);
    if (option.kind == Kind::flag) continue;
    // '+' stands for files, '=' for something that cannot be guessed.
    std::vector<std::string> words = option.choices;
    if (option.kind != Kind::choice) words = {option.kind == Kind::text ? "+" : "="};
    values[path + " --" + option.name] = words;
    if (option.short_name.empty()) continue;
    values[path + " -" + option.short_name] = words;
  }
}

constexpr const char* function_text = R"script(
_trireme() {
  local current="${COMP_WORDS[COMP_CWORD]}" path=trireme option="" word n
  COMPREPLY=()
  for ((n = 1; n < COMP_CWORD; ++n)); do
    word="${COMP_WORDS[n]}"
    # What follows the two dashes is another program's.
    [[ "$word" == -- ]] && return
    if [[ "$word" == = ]]; then
      continue
    elif [[ -n "$option" ]]; then
      option=""
    elif [[ "$word" == -* && -n "${_trireme_values["$path $word"]-}" ]]; then
      option="$word"
    elif [[ "$word" != -* && " ${_trireme_words["$path"]-} " == *" $word "* ]]; then
      path="$path $word"
    fi
  done
  [[ "$current" == = ]] && current=""
  if [[ -n "$option" ]]; then
    case "${_trireme_values["$path $option"]}" in
      +) ;;
      =) compopt +o default ;;
      *) mapfile -t COMPREPLY < <(compgen -W "${_trireme_values["$path $option"]}" -- "$current") ;;
    esac
  elif [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${_trireme_options["$path"]-}" -- "$current")
  elif [[ -n "${_trireme_words["$path"]-}" ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${_trireme_words["$path"]}" -- "$current")
  fi
}
complete -o default -F _trireme trireme
)script";

}  // namespace

std::string bash_completion(const std::vector<CommandTable>& commands) {
  Table words, options, values;
  for (const CommandTable& one : commands) {
    words["trireme"].push_back(one.name);
    words["trireme help"].push_back(one.name);
    for (const ProgramTable& program : one.programs) {
      const std::string& path = program.program.name;
      for (std::size_t end = path.find(' ', path.find(' ') + 1); end != std::string::npos;) {
        const std::size_t next = path.find(' ', end + 1);
        auto& behind = words[path.substr(0, end)];
        const std::string word = path.substr(end + 1, next - end - 1);
        if (std::ranges::find(behind, word) == behind.end()) behind.push_back(word);
        end = next;
      }
      add_options(program, options, values);
    }
  }
  words["trireme completion"] = {"bash"};
  const std::string out = "# Completion of trireme's words by bash, made by `trireme completion bash`.\n";
  return out + array_text("_trireme_words", words) + array_text("_trireme_options", options) +
         array_text("_trireme_values", values) + function_text;
}

}  // namespace trireme
