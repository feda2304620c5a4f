#include "datasets/import_csv.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "datasets/progress.hpp"
#include "datasets/same_files.hpp"
#include "datasets/table_columns.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_classes = 65536;
constexpr std::size_t block_rows = 1024;

/// Mean and deviation of columns, row by row (Welford 1962).
class Moments {
 public:
  explicit Moments(std::size_t columns) : mean_(columns), squares_(columns) {}
  void add(const std::vector<double>& row) {
    ++rows_;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double before = row[i] - mean_[i];
      mean_[i] += before / static_cast<double>(rows_);
      squares_[i] += before * (row[i] - mean_[i]);
    }
  }
  /// A column without a deviation to speak of is only shifted.
  Scaling scaling() const {
    Scaling out{.mean = mean_, .deviation = {}};
    for (std::size_t i = 0; i < mean_.size(); ++i) {
      const double deviation = std::sqrt(squares_[i] / static_cast<double>(std::max<std::int64_t>(1, rows_)));
      out.deviation.push_back(deviation > 1e-12 * std::abs(mean_[i]) && deviation > 1e-30 ? deviation : 1);
    }
    return out;
  }

 private:
  std::int64_t rows_ = 0;
  std::vector<double> mean_, squares_;
};

/// Which split a record belongs to, and which file it stands in.
enum class CsvPart : std::uint8_t { train, test };
enum class CsvSide : std::uint8_t { main, test };

/// A record that can be used.
struct Usable {
  const TableRow& row;
  CsvPart part;
  const TableFile& file;
};

std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The different labels in the order of their classes.
std::vector<std::string> ordered(const std::map<std::string, std::int32_t>& labels) {
  std::vector<std::string> out;
  for (const auto& [label, unused] : labels) out.push_back(label);
  if (std::ranges::all_of(out, [](const std::string& label) { return whole_number(label).has_value(); }))
    std::ranges::stable_sort(out, {}, [](const std::string& label) { return *whole_number(label); });
  return out;
}

/// The form of a table, and what is learnt of it when its file is read for the first time.
class TableImport {
 public:
  explicit TableImport(const CsvImport& import) : import_(import) {
    if (import.like.empty()) {
      names_ = TableFile(import.source, import).choose(import);
      return;
    }
    const DatasetIndex like = DatasetIndex::read(import.like);
    if (!like.table)
      fail(ExitCode::usage, "{} was made of no table: no columns can be taken over from it", import.like);
    given_ = *like.table;
    names_ = {.features = given_->features,
              .targets = given_->targets,
              .task = like.class_names.empty() ? CsvImport::Task::regression : CsvImport::Task::classes};
    classes_ = like.class_names;
    for (const std::string& name : classes_) labels_.emplace(name, narrow<std::int32_t>(labels_.size()));
    find_answers();
  }

  /// Reads the main file; afterwards classes and scaling are known.
  void learn() {
    Moments features(names_.features.size()), targets(names_.targets.size());
    const auto learn_label = [&](const TableRow& row) {
      if (given_ || regression()) return;
      labels_.emplace(row.label, 0);
      if (labels_.size() > most_classes)
        fail(ExitCode::corrupt_input,
             "the column '{}' of {} has more than {} different values: is it a number to be "
             "predicted? Then --regression",
             names_.targets.front(), import_.source, most_classes);
    };
    counts_[0] = counts_[1] = 0;
    read(CsvSide::main, [&](const Usable& one) {
      learn_label(one.row);
      ++counts_[static_cast<int>(one.part)];
      if (one.part == CsvPart::test) return;
      features.add(one.row.features);
      if (regression()) targets.add(one.row.targets);
    });
    if (!given_ && !regression()) number_classes();
    if (given_ || import_.scale == CsvImport::Scale::none) return;
    feature_scaling_ = features.scaling();
    if (regression()) target_scaling_ = targets.scaling();
  }

  std::int64_t rows(CsvPart part) const { return counts_[static_cast<int>(part)]; }

  /// Usable rows of the test file.
  std::int64_t count_test() {
    std::int64_t rows = 0;
    read(CsvSide::test, [&](const Usable&) { ++rows; });
    return rows;
  }

  DatasetIndex write(std::int64_t test_rows) {
    const auto width = [](const std::vector<std::string>& names) { return Shape{narrow<std::int64_t>(names.size())}; };
    std::vector<FieldSpec> fields{{"x", DType::f32, width(names_.features)}};
    if (answered_)
      fields.push_back(regression() ? FieldSpec{"y", DType::f32, width(names_.targets)}
                                    : FieldSpec{"label", DType::i32, Shape{}});
    DatasetWriter writer({.folder = import_.out,
                          .name = import_.name,
                          .fields = fields,
                          .class_names = classes_,
                          .shard_rows = import_.shard_rows,
                          .table = entry(),
                          .compress = import_.compress,
                          .existing = import_.existing});
    Json said = Json::array();
    writing_ = true;
    said.push_back(write_split(writer, {"train", CsvSide::main, CsvPart::train, rows(CsvPart::train)}));
    if (test_rows > 0) said.push_back(write_split(writer, {"test", CsvSide::test, CsvPart::test, test_rows}));
    if (import_.set_aside.any())
      said.push_back(write_split(writer, {"test", CsvSide::main, CsvPart::test, rows(CsvPart::test)}));
    return writer.finish({{"importer", "csv"}, {"date", utc_now()}, {"sources", said}});
  }

 private:
  /// A split and the records it is made of.
  struct Source {
    const char* name;
    CsvSide side;
    CsvPart part;
    std::int64_t rows;
  };

  const std::string& path_of(CsvSide side) const {
    return side == CsvSide::main ? import_.source : import_.test_source;
  }
  bool regression() const { return names_.task == CsvImport::Task::regression; }
  TableEntry entry() const {
    if (given_) return *given_;
    return {names_.features, names_.targets, feature_scaling_, target_scaling_};
  }

  /// Rows taken like those of another table need not say what is to be predicted of them.
  void find_answers() {
    const auto has_some = [&](const std::string& path) { return TableFile(path, import_).has_any(names_.targets); };
    answered_ = import_.header == CsvImport::Header::none || has_some(import_.source);
    if (answered_) return;
    if (!import_.test_source.empty() && has_some(import_.test_source))
      fail(ExitCode::usage, "{} has a column of {} and {} has none: import them one by one", import_.test_source,
           fmt::join(names_.targets, ", "), import_.source);
    log::warning(
        "{} has no column {}: what is to be predicted of its rows is open, and they are for trireme predict alone",
        import_.source, fmt::join(names_.targets, ", "));
    names_.targets.clear();
  }
  void number_classes() {
    classes_ = ordered(labels_);
    for (std::size_t c = 0; c < classes_.size(); ++c) labels_.at(classes_[c]) = narrow<std::int32_t>(c);
    if (classes_.size() < 2)
      fail(ExitCode::corrupt_input, "the column '{}' of {} has {} different value(s); a class wants at least 2",
           names_.targets.front(), import_.source, classes_.size());
  }

  /// Calls `take` with all usable rows of a file. What is left out is said only the first time.
  template <class Take>
  Json read(CsvSide side, Take&& take) {
    TableFile file(path_of(side), import_);
    file.take(names_);
    LeftOut left_out(import_.on_error, path_of(side));
    Progress progress(writing_ ? "importing" : "checking", file.reader().stored_bytes(), "bytes");
    TableRow row;
    std::int64_t shown = 0;
    for (std::string problem; file.next(row, problem);) {
      if (problem.empty() && answered_ && !classes_.empty() && !labels_.contains(std::string(row.label)))
        problem = fmt::format("{}: the class '{}' is none of the {} that {} has", file.place(), row.label,
                              classes_.size(), given_ ? import_.like : import_.source);
      if (problem.empty()) {
        const bool train = side == CsvSide::main && !import_.set_aside.holds(file.number());
        take(Usable{row, train ? CsvPart::train : CsvPart::test, file});
      } else if (!writing_) {
        left_out.add(problem);
      }
      if (const std::int64_t read = file.reader().stored_read(); read > shown)
        progress.advance(read - std::exchange(shown, read));
    }
    left_out.end();
    Json found = file.reader().end();
    same_.read(path_of(side), found);
    return found;
  }

  Json write_split(DatasetWriter& writer, const Source& source) {
    if (source.rows == 0)
      fail(ExitCode::corrupt_input, "{}: no sample is left for the split {}", path_of(source.side), source.name);
    writer.begin_split(source.name, source.rows);
    std::vector<float> x, y;
    std::vector<std::int32_t> labels;
    std::int64_t rows = 0, written = 0;
    const auto flush = [&] {
      const FieldBlock blocks[] = {{x.data()}, {regression() ? static_cast<void*>(y.data()) : labels.data()}};
      writer.append(rows, std::span(blocks).first(answered_ ? 2 : 1));
      x.clear(), y.clear(), labels.clear();
      rows = 0;
    };
    const TableEntry table = entry();
    Json said = read(source.side, [&](const Usable& one) {
      if (one.part != source.part) return;
      if (written++ == source.rows) SameFiles::changed(path_of(source.side));
      const bool features_fit = store(one.row.features, table.feature_scaling, x);
      if (!features_fit || !store(one.row.targets, table.target_scaling, y))
        fail(ExitCode::corrupt_input, "{}: a number is too far from the mean of its column to be standardised",
             one.file.place());
      if (answered_ && !regression()) labels.push_back(labels_.at(std::string(one.row.label)));
      if (++rows == static_cast<std::int64_t>(block_rows)) flush();
    });
    flush();
    said["split"] = source.name;
    said["samples"] = source.rows;
    return said;
  }

  /// False where a number that is stored is not finite.
  static bool store(const std::vector<double>& values, const Scaling& scaling, std::vector<float>& out) {
    bool finite = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = scaling.mean.empty() ? values[i] : (values[i] - scaling.mean[i]) / scaling.deviation[i];
      out.push_back(static_cast<float>(value));
      finite = finite && std::isfinite(out.back());
    }
    return finite;
  }

  const CsvImport& import_;
  SameFiles same_;
  TableNames names_;
  std::optional<TableEntry> given_;
  Scaling feature_scaling_, target_scaling_;
  std::vector<std::string> classes_;
  std::map<std::string, std::int32_t> labels_;
  std::int64_t counts_[2] = {0, 0};
  bool writing_ = false;
  bool answered_ = true;
};

void check_import(const CsvImport& import) {
  import.set_aside.check();
  if (import.set_aside.any() && !import.test_source.empty())
    fail(ExitCode::usage, "both a test file and a test fraction were given: choose one");
  if (import.separator == '"' || import.separator == '\n' || import.separator == '\r')
    fail(ExitCode::usage, "quotes and line ends cannot separate cells");
  const bool form = !import.features.empty() || !import.dropped.empty() || !import.targets.empty() ||
                    import.task != CsvImport::Task::classes || import.scale != CsvImport::Scale::none;
  if (!import.like.empty() && form)
    fail(ExitCode::usage, "columns, task and scale are those of {}: give none of them with it", import.like);
}

}  // namespace

DatasetIndex import_csv(const CsvImport& import) {
  check_import(import);
  TableImport table(import);
  table.learn();
  std::int64_t test_rows = 0;
  if (!import.test_source.empty()) {
    test_rows = table.count_test();
    if (test_rows == 0) fail(ExitCode::corrupt_input, "{}: no sample is left for the split test", import.test_source);
  }
  return table.write(test_rows);
}

}  // namespace trireme
