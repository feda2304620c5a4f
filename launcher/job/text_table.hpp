// Aligned tables for people. What comes out of files is made harmless for a terminal: control characters are shown, not
// sent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trireme {

enum class Align { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
};

class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell per column.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// A line of titles and a line per row, each behind two spaces; no titles where all are empty.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace trireme
