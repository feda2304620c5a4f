// Questions with a few endings of which one is right, from files with one JSON object a line: HellaSwag's
// (Zellers et al. 2019, arXiv:1905.07830) with `ctx`, `endings` and `label`, or our own with `context`, `choices` and
// `answer` (docs/exchange.md). Further keys are passed over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

struct MultipleChoiceItem {
  std::string context;
  std::vector<std::string> choices;  ///< At least two, none of them empty.
  std::int64_t answer = 0;           ///< Which of them is right, from 0.
};

/// All lines of the file, at least one. Error(corrupt_input) "FILE:LINE: ..." for a line that is neither, for a number
/// that is that of no choice, and for a line without an answer; storage where the file cannot be read.
std::vector<MultipleChoiceItem> read_multiple_choice(const std::string& path);

}  // namespace trireme
