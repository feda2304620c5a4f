// One declared option: its names, its text form in both directions, and the words that say which values are wanted.
// Text forms round-trip: reading what get() wrote gives the same value, bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::detail {

struct Option {
  std::string name;
  std::string short_name = {};  // one letter, or empty
  std::string description;
  std::string wanted;                           // "a whole number from 1 to 64"
  std::function<bool(const std::string&)> set;  // false: not one of the wanted values, nothing was changed
  std::function<std::string()> get;
  bool flag = false;
  std::vector<std::string> choices = {};  // where only these are wanted
  std::string default_text = {};
  std::string origin = "default";
};

std::optional<bool> read_flag(const std::string& text);
std::optional<std::int64_t> read_integer(std::string_view text);
std::optional<double> read_real(const std::string& text);
/// The shortest decimal text that reads back as the same double.
std::string write_real(double value);
/// "64,32" ; nothing where a part is no integer.
std::optional<std::vector<std::int64_t>> read_sizes(const std::string& text);

/// A value in an INI file: quoted where its spaces, quotes or line ends would be lost.
std::string quote_ini(const std::string& value);
std::optional<std::string> unquote_ini(const std::string& text);

/// Insertions, deletions, replacements and swaps of neighbours between two words.
std::size_t edit_distance(const std::string& a, const std::string& b);

}  // namespace trireme::detail
