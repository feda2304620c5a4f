#include "datasets/import_lines.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "datasets/progress.hpp"
#include "datasets/same_files.hpp"
#include "datasets/text_reader.hpp"
#include "datasets/text_samples.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t most_lines_named = 20;
constexpr std::size_t most_line_classes = 1 << 16;

/// A file of lines. Without a class every line has its own behind a tab.
struct LinesFile {
  std::string path, label;
};

std::vector<LinesFile> files_of(const std::string& source) {
  if (!fs::is_directory(source)) return {{source, ""}};
  std::vector<LinesFile> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(source, error)) {
    std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name.starts_with(".")) continue;
    if (name.ends_with(".gz")) name.resize(name.size() - 3);
    if (name.ends_with(".txt") && name.size() > 4)
      out.push_back({entry.path().string(), name.substr(0, name.size() - 4)});
  }
  if (error) fail(ExitCode::corrupt_input, "cannot read the folder {}: {}", source, error.message());
  std::ranges::sort(out, {}, &LinesFile::path);
  if (out.empty())
    fail(ExitCode::corrupt_input,
         "the folder {} holds no .txt files; wanted one for each class, or a file of lines "
         "TEXT<TAB>CLASS",
         source);
  return out;
}

/// The beginning of a text that is longer than `bytes`, without the first bytes of a character (UTF-8) that ends later.
std::string_view whole_characters(std::string_view text, std::size_t bytes) {
  std::size_t end = bytes;
  while (end > 0 && bytes - end < 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end > 0 ? end : bytes);
}

/// A line that can be used. Views into the reader's piece.
struct LabelledLine {
  std::string_view text, label;
};

/// All lines of a folder or file, over and over.
class Lines {
 public:
  using Take = std::function<void(const LabelledLine&)>;
  Lines(const std::string& source, OnError on_error) : source_(source), files_(files_of(source)), on_error_(on_error) {}

  void each(const Take& take) {
    sources_ = Json::array();
    bad_ = 0;
    for (const LinesFile& file : files_) each_of(file, take);
    if (bad_ > most_lines_named && !told_) log::warning("{} more lines were left out", bad_ - most_lines_named);
    told_ = true;
  }
  /// Of the last time.
  const Json& sources() const { return sources_; }
  const std::string& source() const { return source_; }

 private:
  void each_of(const LinesFile& file, const Take& take) {
    TextReader reader({.paths = {file.path}, .format = TextFormat::text, .unit = DocumentUnit::line});
    std::int64_t found = 0;
    for (TextPiece piece; reader.next(piece);) {
      LabelledLine line{piece.text, file.label};
      if (file.label.empty()) {
        const std::size_t tab = std::min(piece.text.rfind('\t'), piece.text.size());
        line = {std::string_view(piece.text).substr(0, tab), std::string_view(piece.text).substr(tab)};
        if (!line.label.empty()) line.label.remove_prefix(1);
      }
      const char* const wrong = line.text.empty()                            ? "has no text"
                                : line.label.empty()                         ? "has no class behind a tab"
                                : piece.text.find('\0') != std::string::npos ? "holds a byte of zero: is this text?"
                                                                             : nullptr;
      if (wrong != nullptr) {
        left_out(fmt::format("{}:{}: the line {}", file.path, reader.line(), wrong));
        continue;
      }
      ++found;
      take(line);
    }
    if (found == 0) left_out(fmt::format("{} holds no line that can be used", file.path));
    for (const Json& source : reader.sources()) {
      same_.read(file.path, source);
      sources_.push_back(source);
    }
  }
  void left_out(const std::string& problem) {
    if (on_error_ == OnError::stop) fail(ExitCode::corrupt_input, "{}; repair it, or --on-error skip", problem);
    if (++bad_ <= most_lines_named && !told_) log::warning("left out: {}", problem);
  }

  std::string source_;
  std::vector<LinesFile> files_;
  OnError on_error_;
  SameFiles same_;
  Json sources_;
  std::int64_t bad_ = 0;
  bool told_ = false;  // warnings come once, however often the lines are read
};

/// What the first reading finds.
struct Found {
  std::map<std::string, std::int32_t, std::less<>> classes;
  std::int64_t longest = 0, train = 0, test = 0;
};

class LinesImporter {
 public:
  explicit LinesImporter(const LinesImport& import) : import_(import), lines_(import.source, import.on_error) {
    if (!import.test_source.empty()) test_.emplace_back(import.test_source, import.on_error);
  }

  void look() {
    std::int64_t number = 0;
    lines_.each([&](const LabelledLine& line) {
      found_.classes.try_emplace(std::string(line.label), 0);
      if (found_.classes.size() > most_line_classes)
        fail(ExitCode::corrupt_input, "{} has more than {} classes: is the class what stands behind the last tab?",
             import_.source, most_line_classes);
      saw(line, import_.set_aside.holds(number++) ? found_.test : found_.train);
    });
    if (found_.classes.size() < 2)
      fail(ExitCode::corrupt_input, "{} has {} class(es); wanted at least two", import_.source, found_.classes.size());
    for (std::int32_t label = 0; auto& [name, value] : found_.classes) value = label++;
    for (Lines& lines : test_)
      lines.each([&](const LabelledLine& line) {
        label_of(line);
        saw(line, found_.test);
      });
    if (found_.train == 0 || (found_.test == 0 && (!test_.empty() || import_.set_aside.any())))
      fail(ExitCode::usage,
           "the splits train and test would have {} and {} lines; each needs one at least: change "
           "--test-fraction",
           found_.train, found_.test);
    if (import_.length == 0 && found_.longest > LinesImport::longest_by_itself)
      fail(ExitCode::usage,
           "the longest line has {} bytes, and every sample would take as many: say by --length how "
           "many of a line to keep",
           found_.longest);
    length_ = import_.length > 0 ? import_.length : found_.longest;
  }

  DatasetIndex write() {
    std::vector<std::string> names;
    for (const auto& [name, label] : found_.classes) names.push_back(name);
    DatasetWriter writer({.folder = import_.out,
                          .name = import_.name,
                          .fields = text_fields(length_),
                          .class_names = names,
                          .shard_rows = import_.shard_rows,
                          .compress = import_.compress,
                          .existing = import_.existing});
    Json sources = Json::array();
    write_split({"train", found_.train, false}, lines_, writer);
    for (const Json& one : lines_.sources()) sources.push_back(one);
    if (found_.test > 0) write_split({"test", found_.test, true}, test_.empty() ? lines_ : test_.front(), writer);
    for (Lines& lines : test_)
      for (const Json& one : lines.sources()) sources.push_back(one);
    if (cut_ > 0) log::warning("{} lines were longer than {} bytes and were cut there", cut_, length_);
    return writer.finish({{"importer", "lines"}, {"date", utc_now()}, {"sources", sources}});
  }

 private:
  struct Part {
    const char* name;
    std::int64_t rows;
    bool test;
  };

  void saw(const LabelledLine& line, std::int64_t& rows) {
    found_.longest = std::max(found_.longest, std::ssize(line.text));
    ++rows;
  }
  std::int32_t label_of(const LabelledLine& line) const {
    const auto found = found_.classes.find(line.label);
    if (found == found_.classes.end())
      fail(ExitCode::corrupt_input, "{} has a class '{}' that the lines for training have not", import_.test_source,
           line.label);
    return found->second;
  }
  void write_split(const Part& part, Lines& lines, DatasetWriter& writer) {
    writer.begin_split(part.name, part.rows);
    Progress progress(std::string("importing ") + part.name, part.rows, "lines");
    TextSamples samples(writer, length_);
    std::int64_t number = 0, rows = 0;
    lines.each([&](const LabelledLine& line) {
      if (test_.empty() && import_.set_aside.holds(number++) != part.test) return;
      if (rows++ == part.rows || !found_.classes.contains(line.label)) SameFiles::changed(lines.source());
      std::string_view text = line.text;
      if (std::ssize(text) > length_) {
        text = whole_characters(text, static_cast<std::size_t>(length_));
        ++cut_;
      }
      samples.add(text, label_of(line));
      progress.advance(1);
    });
    samples.flush();
  }

  const LinesImport& import_;
  Lines lines_;
  std::vector<Lines> test_;  // one or none
  Found found_;
  std::int64_t length_ = 0, cut_ = 0;
};

}  // namespace

DatasetIndex import_lines(const LinesImport& import) {
  import.set_aside.check();
  if (import.length < 0) fail(ExitCode::usage, "samples of {} bytes: wanted at least 0", import.length);
  if (import.set_aside.any() && !import.test_source.empty())
    fail(ExitCode::usage, "the split test is to be drawn and to be read from {}: give one of the two",
         import.test_source);
  LinesImporter importer(import);
  importer.look();
  return importer.write();
}

}  // namespace trireme
