// Groups of parameters that are trained in their own way, chosen by name: another rate, another weight decay, or none
// of either because they stay as they are. Written as text: "embed*:rate=0.1;*.bias:decay=0;features.*:frozen".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

struct ParameterGroup {
  std::string pattern;  ///< Of global names: * stands for any text, ? for any one character.
  double rate = 1;      ///< Factor on the learning rate.
  std::optional<double> weight_decay = std::nullopt;
  enum class Training : std::uint8_t { trained, frozen } training = Training::trained;
};

/// Whether a whole name fits a pattern.
bool matches(std::string_view pattern, std::string_view name);

/// The first group whose pattern fits; null where none does.
const ParameterGroup* group_of(const std::vector<ParameterGroup>& groups, std::string_view name);

/// Reads "PATTERN:KEY=NUMBER,...;PATTERN:frozen"; keys are rate (at least 0) and decay (at least 0). Error(usage)
/// naming the part that cannot be read.
std::vector<ParameterGroup> parse_parameter_groups(std::string_view text);

/// Error(usage) naming a group whose pattern fits none of the names.
void require_matched(const std::vector<ParameterGroup>& groups, const std::vector<std::string>& names);

}  // namespace trireme
