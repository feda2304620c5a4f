// The options of programs as data: what --help says, for texts that are made from it (the manual page, completion by a
// shell). While an OptionTables lives, each OptionSet that is parsed in this process adds its table to it and takes
// nothing from its arguments, as if --help had been asked for.
#pragma once

#include <string>
#include <vector>

#include "launcher/run/options.hpp"

namespace trireme {

struct OptionText {
  std::string group, name, short_name, description;
  std::string wanted;        // "a whole number from 1 to 64"
  std::string default_text;  // may be empty
  std::vector<std::string> choices = {};
  enum class Kind { flag, text, choice, number } kind = Kind::text;
};

struct ProgramTable {
  ProgramText program;
  std::string operands = {}, operands_description = {};  // words without a name
  std::vector<OptionText> options = {};
};

class OptionTables {
 public:
  OptionTables();
  ~OptionTables();
  OptionTables(const OptionTables&) = delete;
  OptionTables& operator=(const OptionTables&) = delete;

  /// The living one, or null.
  static OptionTables* current();
  void add(ProgramTable table) { tables_.push_back(std::move(table)); }
  const std::vector<ProgramTable>& tables() const { return tables_; }

 private:
  std::vector<ProgramTable> tables_;
};

}  // namespace trireme
