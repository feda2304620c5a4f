// The columns of a table that an import takes, where they stand in a file, and what a record says in them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/csv_reader.hpp"
#include "datasets/import_csv.hpp"

namespace trireme {

/// What one record says.
struct TableRow {
  std::vector<double> features, targets;
  std::string_view label = {};  ///< Of the record that was read.
};

/// The columns by name, in the order in which they are stored.
struct TableNames {
  std::vector<std::string> features, targets;
  CsvImport::Task task = CsvImport::Task::classes;
};

/// A file with the places of its columns.
class TableFile {
 public:
  /// Reads the names of the columns. ExitCode::corrupt_input for names that stand twice.
  TableFile(const std::string& path, const CsvImport& import);

  /// The names that `import` asks for; ExitCode::usage for those that are not there.
  TableNames choose(const CsvImport& import) const;
  /// Whether the header has one of these names.
  bool has_any(const std::vector<std::string>& names) const;
  /// Where `names` stand from now on; usage where one is missing. Without targets rows have none, and no label.
  void take(const TableNames& names);
  /// The next record; false at the end. Its problem, with its place, is empty where the row is good.
  bool next(TableRow& row, std::string& problem);
  /// Number of the record that next() gave, from 0 behind the header.
  std::int64_t number() const { return number_; }
  std::string place() const { return reader_.place(record_); }
  CsvReader& reader() { return reader_; }

 private:
  std::size_t find(const std::string& name) const;
  std::string problem_of(TableRow& row);
  std::string read_number(std::size_t column, double& value) const;

  CsvReader reader_;
  CsvRecord record_;
  std::vector<std::string> columns_;
  TableNames names_;
  std::vector<std::size_t> features_, targets_;
  bool first_waits_ = false;  // without a header the first record was read for its number of cells
  std::int64_t number_ = -1;
};

}  // namespace trireme
