#include "launcher/job/data_tables.hpp"

#include "core/base/error.hpp"
#include "datasets/import_csv.hpp"
#include "datasets/import_npy.hpp"
#include "launcher/job/data_target.hpp"
#include "launcher/job/sub_commands.hpp"

namespace trireme {
namespace {

void declare_on_error(OptionGroup& options, OnError* on_error) {
  options.add("on-error", on_error, "at a sample that cannot be used",
              {{"stop", OnError::stop}, {"skip", OnError::skip}});
}

NpySource source_of(const char* command, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
    fail(ExitCode::usage, "{}: '{}' is not FIELD=FILE, such as image=images.npy", command, text);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

char separator_of(const char* command, const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  if (text.size() == 1) return text.front();
  fail(ExitCode::usage, "{}: '{}' is no separator; wanted one letter, or tab", command, text);
}

/// Names between commas; in quotes they may hold commas (RFC 4180).
std::vector<std::string> column_names(const std::string& text) {
  std::vector<std::string> out;
  if (text.empty()) return out;
  out.emplace_back();
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"') {
      out.back() += text[i++];
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += text[i];
    }
  }
  return out;
}

}  // namespace

int import_npy_command(std::span<const std::string> args) {
  constexpr const char* name = "trireme data import npy";
  NpyImport import;
  DataTarget target;
  TestPart part;
  std::string test, classes;
  CommandLine line(
      {.name = name,
       .summary = "makes a data set from NumPy arrays, a field from each; their first dim counts the samples",
       .examples = {"trireme data import npy image=images.npy label=labels.npy --out data/mine",
                    "trireme data import npy x=x.npy y=y.npy --test x=tx.npy,y=ty.npy --out data/mine"}},
      {.words = "FIELD=FILE...",
       .description = "fields and their files; a field label has class numbers",
       .more = Operands::More::taken});
  line.options()
      .add("test", &test, "the same for the split test, FIELD=FILE,FIELD=FILE")
      .add("classes", &classes, "class names in label order, A,B,C; empty: 0, 1, ... up to the largest training label");
  part.declare(line.options());
  declare_on_error(line.options(), &import.on_error);
  target.declare(line.options());
  const auto found = line.parse(args);
  if (!found) return 0;
  needed(name, "out", target.out);
  for (const std::string& word : *found) import.sources.push_back(source_of(name, word));
  for (const std::string& word : list_of_names(name, "test", test))
    import.test_sources.push_back(source_of(name, word));
  import.classes = list_of_names(name, "classes", classes);
  import.set_aside = part.set_aside();
  target.give(import);
  import_npy(import);
  return made(target.out);
}

int import_csv_command(std::span<const std::string> args) {
  constexpr const char* name = "trireme data import csv";
  CsvImport import;
  DataTarget target;
  TestPart part;
  std::string features, dropped, targets, separator = ",";
  bool header = true, regression = false, standardise = false;
  CommandLine line(
      {.name = name,
       .summary = "makes a data set from a table: columns become features, another one what is predicted from them",
       .examples = {"trireme data import csv iris.csv --target species --test-fraction 0.2 --out data/iris",
                    "trireme data import csv houses.csv --target price --regression --standardise --out data/houses",
                    "trireme data import csv new.csv --like data/houses --out data/new-houses"}},
      {.words = "FILE", .description = "the table, plain or gzip-compressed"});
  line.options()
      .add("target", &targets, "column of the class; with --regression columns of numbers, A,B; must be given")
      .add("regression", &regression, "the targets are numbers to be predicted")
      .add("features", &features, "columns that are features, A,B,C; empty: all but the targets")
      .add("drop", &dropped, "columns that are passed over, A,B,C")
      .add("header", &header, "the first line names the columns; with --no-header they are called 1, 2, ...")
      .add("separator", &separator, "between the cells: a letter, or tab")
      .add("standardise", &standardise,
           "store features, and numbers to be predicted, minus their mean over their deviation in the split train")
      .add("like", &import.like, "folder of a data set of a table whose columns, classes and means are taken over")
      .add("test", &import.test_source, "table of the split test");
  part.declare(line.options());
  declare_on_error(line.options(), &import.on_error);
  target.declare(line.options());
  const auto found = line.parse(args);
  if (!found) return 0;
  needed(name, "out", target.out);
  if (import.like.empty()) needed(name, "target", targets);
  import.source = found->front();
  import.features = column_names(features);
  import.dropped = column_names(dropped);
  import.targets = column_names(targets);
  import.separator = separator_of(name, separator);
  import.header = header ? CsvImport::Header::first_record : CsvImport::Header::none;
  import.task = regression ? CsvImport::Task::regression : CsvImport::Task::classes;
  import.scale = standardise ? CsvImport::Scale::standardise : CsvImport::Scale::none;
  import.set_aside = part.set_aside();
  target.give(import);
  import_csv(import);
  return made(target.out);
}

}  // namespace trireme
