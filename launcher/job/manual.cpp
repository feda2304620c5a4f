#include "launcher/job/manual.hpp"

#include <fmt/format.h>

#include <utility>

namespace trireme {
namespace {

/// `text` as groff prints it letter for letter, wherever it stands.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '"':
        out += "\\(dq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  // A point in front would begin a request.
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string heading(const char* kind, const std::string& text) { return fmt::format(".{} \"{}\"\n", kind, roff(text)); }

std::string option_entry(const OptionText& option) {
  std::string names = option.short_name.empty() ? "" : fmt::format("\\fB\\-{}\\fR, ", roff(option.short_name));
  names += fmt::format("\\fB\\-\\-{}\\fR", roff(option.name));
  if (option.kind != OptionText::Kind::flag) names += " \\fIVALUE\\fR";
  std::string text = option.description;
  if (option.kind == OptionText::Kind::choice || option.kind == OptionText::Kind::number) text += "; " + option.wanted;
  const bool off = option.kind == OptionText::Kind::flag && option.default_text == "false";
  if (!option.default_text.empty() && !off) text += fmt::format(" [{}]", option.default_text);
  return fmt::format(".TP\n{}\n{}\n", names, roff(text));
}

std::string program_section(const ProgramTable& table) {
  const std::string operands = table.operands.empty() ? "" : " " + table.operands;
  std::string out = heading("SS", fmt::format("{} [options]{}", table.program.name, operands));
  out += roff(table.program.summary) + ".\n";
  if (!table.operands.empty()) {
    out += fmt::format(".TP\n\\fI{}\\fR\n{}\n", roff(table.operands), roff(table.operands_description));
  }
  std::string group;
  for (const OptionText& option : table.options) {
    if (option.group != group) out += fmt::format(".PP\n{}:\n", roff(option.group));
    group = option.group;
    out += option_entry(option);
  }
  if (!table.program.examples.empty()) out += ".PP\nExamples:\n";
  for (const std::string& example : table.program.examples)
    out += fmt::format(".PP\n.nf\n.RS\n{}\n.RE\n.fi\n", roff(example));
  return out;
}

/// docs/exit_codes.md tells more.
constexpr std::pair<const char*, const char*> exit_codes[] = {
    {"0", "all that was asked is done"},
    {"1", "any other failure"},
    {"2", "usage: an option or argument that is unknown, missing or impossible; a missing package"},
    {"3", "ranks were started with different options, data or versions"},
    {"10", "the state is saved and the job asks to be started again"},
    {"11", "the job did not end within its time"},
    {"12", "a rank or a host went away, or was not reached"},
    {"13", "losses or gradients are not finite"},
    {"14", "a file could not be written or read"},
    {"15", "a file is missing, damaged or of a foreign format"},
    {"93", "the job was given up and is not to be started again by itself"},
    {"128 + n", "ended by signal n"},
};

}  // namespace

std::string manual_page(const std::vector<CommandTable>& commands, const std::string& version) {
  std::string out = ".\\\" made by `trireme man` from the table of options\n";
  out += fmt::format(".TH TRIREME 1 \"\" \"trireme {}\" \"User Commands\"\n", roff(version));
  out += ".SH NAME\ntrireme \\- trains neural networks on one or many machines\n";
  out += ".SH SYNOPSIS\n\\fBtrireme\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n.SH COMMANDS\n";
  for (const CommandTable& one : commands)
    out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(one.name), roff(one.summary));
  out += ".SH OPTIONS\n";
  for (const CommandTable& one : commands) {
    for (const ProgramTable& program : one.programs) out += program_section(program);
  }
  out += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : exit_codes) out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(code), roff(meaning));
  out += ".SH SEE ALSO\n.BR mpirun (1),\n.BR sbatch (1),\n.BR ssh (1)\n";
  return out;
}

}  // namespace trireme
