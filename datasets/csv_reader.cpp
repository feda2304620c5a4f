#include "datasets/csv_reader.hpp"

#include <filesystem>

#include "core/base/error.hpp"

namespace trireme {
namespace {

constexpr std::size_t csv_block_bytes = std::size_t{1} << 20;
constexpr std::size_t longest_record = std::size_t{16} << 20;

}  // namespace

std::string_view CsvRecord::cell(std::size_t i) const {
  const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
  std::string_view text = std::string_view(text_).substr(begin, ends_[i] - begin);
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

void CsvRecord::clear(std::int64_t at) {
  line = at;
  problem.clear();
  text_.clear();
  ends_.clear();
  quoted_ = false;
}

CsvReader::CsvReader(const std::string& path, char separator)
    : file_(path), separator_(separator), block_(csv_block_bytes) {
  const int first = peek();
  const auto begins = [&](std::initializer_list<int> mark) {
    std::size_t i = 0;
    for (const int byte : mark)
      if (i >= filled_ || std::to_integer<int>(block_[i++]) != byte) return false;
    return true;
  };
  if (first == no_more) fail(ExitCode::corrupt_input, "{} is empty; wanted lines of cells", path);
  if (begins({0xff, 0xfe}) || begins({0xfe, 0xff}))
    fail(ExitCode::corrupt_input, "{} is in UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)", path);
  if (begins({0xef, 0xbb, 0xbf})) at_ = 3;
}

int CsvReader::peek() {
  if (at_ == filled_) {
    filled_ = file_.read(block_);
    at_ = 0;
  }
  return at_ < filled_ ? std::to_integer<int>(block_[at_]) : no_more;
}

int CsvReader::take() {
  const int byte = peek();
  if (byte != no_more) ++at_;
  return byte;
}

/// Behind the first letter of a line end.
void CsvReader::end_line(int first) {
  if (first == '\r' && peek() == '\n') take();
  ++line_;
}

/// From behind the opening quote to behind the closing one.
void CsvReader::read_quoted(CsvRecord& record) {
  const std::int64_t opened = line_;
  const auto too_long = [&](const char* what) {
    fail(ExitCode::corrupt_input,
         "{}:{}: a cell in quotes begins here and {}: close its quote, or double a quote that "
         "belongs to the text",
         path(), opened, what);
  };
  record.quoted_ = true;
  for (;;) {
    const int byte = take();
    if (byte == no_more) too_long("has no end");
    if (byte == '"' && peek() != '"') return;
    if (byte == '"') take();
    if (byte == '\n') ++line_;
    record.text_ += static_cast<char>(byte);
    if (record.text_.size() > longest_record) too_long("does not end within 16 MiB");
  }
}

bool CsvReader::read_record(CsvRecord& record) {
  record.clear(line_);
  if (peek() == no_more) return false;
  bool fresh = true;  // nothing of the cell was read
  for (;;) {
    const int byte = take();
    const bool ends = byte == no_more || byte == '\n' || byte == '\r';
    if (ends || byte == static_cast<unsigned char>(separator_)) {
      record.end_cell();
      fresh = true;
      if (ends) {
        if (byte != no_more) end_line(byte);
        return true;
      }
    } else if (byte == '"' && fresh) {
      read_quoted(record);
      fresh = false;
      const int next = peek();
      if (next != no_more && next != '\n' && next != '\r' && next != static_cast<unsigned char>(separator_))
        record.problem = "letters follow a closing quote; double a quote that belongs to the text";
    } else {
      if (byte == '"' && record.problem.empty())
        record.problem = "a quote stands inside a cell; put the cell in quotes and double it";
      record.text_ += static_cast<char>(byte);
      fresh = false;
    }
    if (record.text_.size() + record.ends_.size() > longest_record)
      fail(ExitCode::corrupt_input, "{}: a record is longer than 16 MiB: is this a table of text?", place(record));
  }
}

bool CsvReader::next(CsvRecord& record) {
  while (read_record(record))
    if (!record.blank()) return true;
  return false;
}

std::string CsvReader::place(const CsvRecord& record) const { return fmt::format("{}:{}", path(), record.line); }

Json CsvReader::end() {
  file_.expect_end();
  return {{"file", std::filesystem::path(path()).filename().string()},
          {"bytes", file_.stored_bytes()},
          {"xxh3_128", file_.stored_hash().hex()}};
}

}  // namespace trireme
