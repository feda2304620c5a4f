#include "datasets/table_columns.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/error.hpp"

namespace trireme {
namespace {

constexpr std::size_t longest_shown = 40;

std::string shown(std::string_view text) {
  return std::string(text.substr(0, longest_shown)) + (text.size() > longest_shown ? "..." : "");
}

}  // namespace

TableFile::TableFile(const std::string& path, const CsvImport& import) : reader_(path, import.separator) {
  if (!reader_.next(record_)) fail(ExitCode::corrupt_input, "{} has only blank lines; wanted a table", path);
  if (!record_.problem.empty()) fail(ExitCode::corrupt_input, "{}: {}", place(), record_.problem);
  first_waits_ = import.header == CsvImport::Header::none;
  for (std::size_t i = 0; i < record_.size(); ++i) {
    const bool named = !first_waits_ && !record_.cell(i).empty();
    columns_.push_back(named ? std::string(record_.cell(i)) : std::to_string(i + 1));
  }
  std::set<std::string> seen;
  for (const std::string& name : columns_)
    if (!seen.insert(name).second)
      fail(ExitCode::corrupt_input, "{} has two columns named '{}': give them different names, or --no-header", path,
           name);
}

std::size_t TableFile::find(const std::string& name) const {
  const auto found = std::ranges::find(columns_, name);
  if (found == columns_.end())
    fail(ExitCode::usage, "{} has no column '{}'; it has {}. Is the separator right?", reader_.path(), name,
         fmt::join(columns_, ", "));
  return static_cast<std::size_t>(found - columns_.begin());
}

TableNames TableFile::choose(const CsvImport& import) const {
  TableNames names{.features = import.features, .targets = import.targets, .task = import.task};
  const auto is_in = [](const std::vector<std::string>& list, const std::string& name) {
    return std::ranges::find(list, name) != list.end();
  };
  for (const std::string& name : import.dropped) find(name);
  if (names.targets.empty())
    fail(ExitCode::usage, "no target column was named; {} has {}", reader_.path(), fmt::join(columns_, ", "));
  if (names.task == CsvImport::Task::classes && names.targets.size() > 1)
    fail(ExitCode::usage, "{} columns cannot be one class: name one, or --regression", names.targets.size());
  for (const std::string& column : columns_)
    if (import.features.empty() && !is_in(names.targets, column) && !is_in(import.dropped, column))
      names.features.push_back(column);
  if (names.features.empty()) fail(ExitCode::usage, "{} has no column that could be a feature", reader_.path());
  std::set<std::string> seen;
  for (const auto* list : {&names.features, &names.targets})
    for (const std::string& name : *list)
      if (!seen.insert(name).second) fail(ExitCode::usage, "the column '{}' is named twice", name);
  return names;
}

bool TableFile::has_any(const std::vector<std::string>& names) const {
  return std::ranges::any_of(names, [&](const std::string& name) { return std::ranges::count(columns_, name) > 0; });
}

void TableFile::take(const TableNames& names) {
  names_ = names;
  features_.clear();
  targets_.clear();
  for (const std::string& name : names.features) features_.push_back(find(name));
  for (const std::string& name : names.targets) targets_.push_back(find(name));
}

bool TableFile::next(TableRow& row, std::string& problem) {
  if (!first_waits_ && !reader_.next(record_)) return false;
  first_waits_ = false;
  ++number_;
  problem = problem_of(row);
  if (!problem.empty()) problem = fmt::format("{}: {}", place(), problem);
  return true;
}

std::string TableFile::problem_of(TableRow& row) {
  if (!record_.problem.empty()) return record_.problem;
  if (record_.size() != columns_.size())
    return fmt::format("the record has {} cells, the table has {} columns", record_.size(), columns_.size());
  row.features.resize(features_.size());
  row.targets.resize(names_.task == CsvImport::Task::regression ? targets_.size() : 0);
  std::string problem;
  for (std::size_t i = 0; i < features_.size() && problem.empty(); ++i)
    problem = read_number(features_[i], row.features[i]);
  for (std::size_t i = 0; i < row.targets.size() && problem.empty(); ++i)
    problem = read_number(targets_[i], row.targets[i]);
  if (!problem.empty() || names_.task == CsvImport::Task::regression || targets_.empty()) return problem;
  row.label = record_.cell(targets_.front());
  return row.label.empty() ? fmt::format("the column '{}' is empty; wanted a class", names_.targets.front()) : "";
}

std::string TableFile::read_number(std::size_t column, double& value) const {
  std::string_view text = record_.cell(column);
  const std::string& name = columns_[column];
  if (text.empty()) return fmt::format("the column '{}' is empty; wanted a number", name);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size())
    return fmt::format("'{}' in the column '{}' is no number; repair it, or leave the column out (--drop)", shown(text),
                       name);
  // from_chars gives no value for what f64 cannot hold, however small.
  if (error != std::errc() || !(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max())))
    return fmt::format("{} in the column '{}' is no finite number that f32 holds", shown(text), name);
  return "";
}

}  // namespace trireme
