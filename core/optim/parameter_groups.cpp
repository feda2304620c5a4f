#include "core/optim/parameter_groups.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/error.hpp"

namespace trireme {
namespace {

/// Pieces between separators; none of an empty text.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

double number(std::string_view group, std::string_view setting) {
  const std::string_view text = setting.substr(setting.find('=') + 1);
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < 0)
    fail(ExitCode::usage, "the parameter group '{}': '{}' wants a number of at least 0", group, setting);
  return value;
}

void apply(ParameterGroup& group, std::string_view text, std::string_view setting) {
  if (setting == "frozen") {
    group.training = ParameterGroup::Training::frozen;
  } else if (setting.starts_with("rate=")) {
    group.rate = number(text, setting);
  } else if (setting.starts_with("decay=")) {
    group.weight_decay = number(text, setting);
  } else {
    fail(ExitCode::usage, "the parameter group '{}': '{}' is not one of rate=NUMBER, decay=NUMBER and frozen", text,
         setting);
  }
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == name[n]))) {
      ++p, ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;  // the last star takes one character more
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

const ParameterGroup* group_of(const std::vector<ParameterGroup>& groups, std::string_view name) {
  const auto found =
      std::find_if(groups.begin(), groups.end(), [&](const ParameterGroup& g) { return matches(g.pattern, name); });
  return found == groups.end() ? nullptr : &*found;
}

std::vector<ParameterGroup> parse_parameter_groups(std::string_view text) {
  std::vector<ParameterGroup> out;
  for (const std::string_view part : split(text, ';')) {
    const std::size_t colon = part.find(':');
    if (colon == 0 || colon == std::string_view::npos || colon + 1 == part.size())
      fail(ExitCode::usage, "the parameter group '{}' is not PATTERN:SETTING,...; for example '*.bias:decay=0'", part);
    ParameterGroup group{.pattern = std::string(part.substr(0, colon))};
    for (const std::string_view setting : split(part.substr(colon + 1), ',')) apply(group, part, setting);
    out.push_back(std::move(group));
  }
  return out;
}

void require_matched(const std::vector<ParameterGroup>& groups, const std::vector<std::string>& names) {
  for (const ParameterGroup& group : groups)
    if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return matches(group.pattern, name); }))
      fail(ExitCode::usage, "the parameter group '{}' fits no parameter; the first names are {}", group.pattern,
           fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(5, names.size())),
                     ", "));
}

}  // namespace trireme
