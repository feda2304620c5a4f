#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.hpp"

namespace trireme {
namespace {

/// Letters, not bytes: the later bytes of a UTF-8 letter take no place of their own.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string line_of(const std::vector<std::string>& cells, const std::vector<Column>& columns,
                    const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::string gap(widths[c] - width_of(cells[c]), ' ');
    line += columns[c].align == Align::right ? "  " + gap + cells[c] : "  " + cells[c] + gap;
  }
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

}  // namespace

void TextTable::add(std::vector<std::string> cells) {
  require(cells.size() == columns_.size(), "a row of {} cells in a table of {} columns", cells.size(), columns_.size());
  for (std::string& cell : cells) cell = harmless(cell);
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(width_of(column.title));
  }
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  const bool titled = std::any_of(titles.begin(), titles.end(), [](const auto& title) { return !title.empty(); });
  std::string out = titled ? line_of(titles, columns_, widths) : "";
  for (const auto& row : rows_) out += line_of(row, columns_, widths);
  return out;
}

}  // namespace trireme
