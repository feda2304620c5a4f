// Tables as text (RFC 4180), record by record with bounded memory: cells in quotes may hold separators, line ends and
// doubled quotes; lines end in LF, CRLF or CR. Plain or gzip-compressed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/gzip.hpp"
#include "core/io/json.hpp"

namespace trireme {

/// The cells of one record, as they stand between the separators without their quotes.
class CsvRecord {
 public:
  std::int64_t line = 0;     ///< Of the file, from 1, on which it begins.
  std::string problem = {};  ///< What is wrong with its quotes; empty: nothing.

  std::size_t size() const { return ends_.size(); }
  /// Without spaces and tabs around it.
  std::string_view cell(std::size_t i) const;

 private:
  friend class CsvReader;
  void clear(std::int64_t at);
  void end_cell() { ends_.push_back(text_.size()); }
  /// A line without anything in it.
  bool blank() const { return ends_.size() == 1 && text_.empty() && !quoted_; }

  std::string text_;
  std::vector<std::size_t> ends_;
  bool quoted_ = false;
};

class CsvReader {
 public:
  /// ExitCode::corrupt_input where the file is missing or is UTF-16. A byte order mark of UTF-8 is passed over.
  CsvReader(const std::string& path, char separator);

  const std::string& path() const { return file_.path(); }
  /// The next record that is no blank line; false at the end. corrupt_input for a quote without an end, and for records
  /// of more than 16 MiB, which are mostly that.
  bool next(CsvRecord& record);
  /// "table.csv:7".
  std::string place(const CsvRecord& record) const;
  /// Bytes of the file that were read, and how many it has: for showing how far one is.
  std::int64_t stored_read() const { return static_cast<std::int64_t>(file_.stored_read()); }
  std::int64_t stored_bytes() const { return static_cast<std::int64_t>(file_.stored_bytes()); }
  /// After the last record: name, size and checksum of the file.
  Json end();

 private:
  static constexpr int no_more = -1;
  int peek();
  int take();
  void end_line(int first);
  bool read_record(CsvRecord& record);
  void read_quoted(CsvRecord& record);

  InputFile file_;
  char separator_;
  std::vector<std::byte> block_;
  std::size_t at_ = 0, filled_ = 0;
  std::int64_t line_ = 1;
};

}  // namespace trireme
