#include "datasets/import_npy.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "datasets/npy_file.hpp"
#include "datasets/progress.hpp"
#include "datasets/same_files.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

constexpr std::int64_t npy_block_bytes = std::int64_t{4} << 20;
constexpr std::int64_t most_npy_classes = 65536;
constexpr const char* label_field = "label";

/// The field that an array becomes.
FieldSpec field_of(const NpySource& source, const NpyFile& file) {
  FieldSpec field{source.field, file.header().dtype(), file.row()};
  if (field.name == label_field) {
    if (file.header().kind == 'f' || field.row.elements() != 1)
      fail(ExitCode::corrupt_input,
           "{} has {} {} for each sample; a field label wants one whole number, the class: a.astype('int64'), or give "
           "the field another name",
           source.path, name_of(field.dtype), field.row.text());
    return {label_field, DType::i32, Shape{}};
  }
  if (field.name != "image") return field;
  if (field.row.dims() == 2) field.row = Shape{field.row[0], field.row[1], 1};
  if (field.row.dims() == 3 && field.row[0] <= 4 && field.row[2] > 4)
    fail(ExitCode::corrupt_input,
         "{} has images {}, which looks like channels first; wanted (height, width, channels): np.save(FILE, "
         "np.ascontiguousarray(np.moveaxis(a, 1, -1)))",
         source.path, field.row.text());
  return field;
}

/// Whether an element of a floating row is finite, of the first that is not its number.
template <class T>
std::int64_t first_not_finite(const std::byte* row, std::int64_t elements) {
  for (std::int64_t i = 0; i < elements; ++i) {
    T value;
    std::memcpy(&value, row + i * static_cast<std::int64_t>(sizeof value), sizeof value);
    if (!std::isfinite(static_cast<double>(value))) return i;
  }
  return -1;
}

std::int64_t first_not_finite(DType dtype, const std::byte* row, std::int64_t elements) {
  if (!is_floating(dtype)) return -1;
  return with_floating(dtype, "npy", [&](auto zero) { return first_not_finite<decltype(zero)>(row, elements); });
}

std::int64_t whole_number(DType dtype, const std::byte* at) {
  const auto load = [&](auto value) {
    std::memcpy(&value, at, sizeof value);
    return static_cast<std::int64_t>(value);
  };
  if (dtype == DType::u8) return load(std::uint8_t{});
  if (dtype == DType::u16) return load(std::uint16_t{});
  return dtype == DType::i32 ? load(std::int32_t{}) : load(std::int64_t{});
}

/// The arrays of one set of samples, read together.
class NpyArrays {
 public:
  NpyArrays(const std::vector<NpySource>& sources, OnError on_error) : sources_(sources), on_error_(on_error) {
    open();
    for (std::size_t f = 0; f < files_.size(); ++f) {
      fields_.push_back(field_of(sources[f], *files_[f]));
      block_rows_ += files_[f]->row_bytes();
      if (files_[f]->rows() != count())
        fail(ExitCode::corrupt_input,
             "{} holds {} samples, {} holds {}: the first dims of all arrays must be equal; are they of one set?",
             sources.front().path, count(), sources[f].path, files_[f]->rows());
    }
    block_rows_ = std::max<std::int64_t>(1, npy_block_bytes / block_rows_);
    usable_.assign(to_size(count()), true);
  }

  std::int64_t count() const { return files_.front()->rows(); }
  const std::vector<FieldSpec>& fields() const { return fields_; }
  bool usable(std::int64_t row) const { return usable_[to_size(row)]; }
  std::int64_t largest_label() const { return largest_label_; }

  /// Looks at every number; samples that cannot be used are marked. Labels are below `classes`.
  void check(std::int64_t classes) {
    LeftOut left_out(on_error_, sources_.front().path);
    each_block("checking", [&](std::int64_t first, std::int64_t rows) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::string problem = problem_of(first, row, classes);
        if (problem.empty()) continue;
        left_out.add(problem);
        usable_[to_size(first + row)] = false;
      }
    });
    left_out.end();
  }

  /// Appends the samples that `wanted` says, which are usable.
  void write(DatasetWriter& writer, const std::function<bool(std::int64_t)>& wanted) {
    each_block("importing", [&](std::int64_t first, std::int64_t rows) {
      for (std::int64_t row = 0; row < rows;) {
        std::int64_t end = row;
        while (end < rows && wanted(first + end)) ++end;
        if (end > row) append(writer, row, end - row);
        row = end + 1;
      }
    });
  }

  /// Files with their checksums.
  const Json& described() const { return described_; }

 private:
  void open() {
    files_.clear();
    for (const NpySource& source : sources_) files_.push_back(std::make_unique<NpyFile>(source.path));
    blocks_.resize(files_.size());
  }

  /// Front to back through all files, which are opened anew.
  void each_block(const char* what, const std::function<void(std::int64_t, std::int64_t)>& take) {
    const std::int64_t samples = count();
    open();
    for (std::size_t f = 0; f < files_.size(); ++f)
      if (files_[f]->rows() != samples || field_of(sources_[f], *files_[f]) != fields_[f])
        SameFiles::changed(sources_[f].path);
    Progress progress(what, samples);
    for (std::int64_t first = 0; first < samples; first += block_rows_) {
      const std::int64_t rows = std::min(block_rows_, samples - first);
      for (std::size_t f = 0; f < files_.size(); ++f) files_[f]->read_rows(rows, blocks_[f]);
      take(first, rows);
      progress.advance(rows);
    }
    described_ = Json::array();
    for (std::size_t f = 0; f < files_.size(); ++f) {
      described_.push_back(files_[f]->end());
      same_.read(sources_[f].path, described_.back());
      described_.back()["field"] = sources_[f].field;
    }
  }

  std::string problem_of(std::int64_t first, std::int64_t row, std::int64_t classes) {
    for (std::size_t f = 0; f < files_.size(); ++f) {
      const DType dtype = files_[f]->header().dtype();
      const std::byte* at = blocks_[f].data() + row * files_[f]->row_bytes();
      if (fields_[f].name == label_field) {
        const std::int64_t label = whole_number(dtype, at);
        if (label < 0 || label >= classes)
          return fmt::format("{} is the label {}; there are {} classes (0 to {})", files_[f]->place(first + row, 0),
                             label, classes, classes - 1);
        largest_label_ = std::max(largest_label_, label);
      } else if (const std::int64_t bad = first_not_finite(dtype, at, fields_[f].row.elements()); bad >= 0) {
        return fmt::format("{} is not a finite number; repair it (np.nan_to_num)", files_[f]->place(first + row, bad));
      }
    }
    return "";
  }

  void append(DatasetWriter& writer, std::int64_t first, std::int64_t rows) {
    std::vector<FieldBlock> parts;
    for (std::size_t f = 0; f < files_.size(); ++f) {
      const std::byte* at = blocks_[f].data() + first * files_[f]->row_bytes();
      if (fields_[f].name == label_field) {
        labels_.clear();
        const std::int64_t step = files_[f]->row_bytes();
        for (std::int64_t row = 0; row < rows; ++row)
          labels_.push_back(narrow<std::int32_t>(whole_number(files_[f]->header().dtype(), at + row * step)));
        parts.push_back({labels_.data()});
      } else {
        parts.push_back({at});
      }
    }
    writer.append(rows, parts);
  }

  std::vector<NpySource> sources_;
  OnError on_error_;
  std::vector<std::unique_ptr<NpyFile>> files_;
  std::vector<FieldSpec> fields_;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<std::int32_t> labels_;
  std::vector<bool> usable_;
  std::int64_t block_rows_ = 0, largest_label_ = -1;
  SameFiles same_;
  Json described_ = Json::array();
};

void check_names(const NpyImport& import) {
  import.set_aside.check();
  if (import.sources.empty()) fail(ExitCode::usage, "no arrays were given: give at least one as FIELD=FILE.npy");
  if (import.set_aside.any() && !import.test_sources.empty())
    fail(ExitCode::usage, "both test arrays and a test fraction were given: choose one");
  for (const auto* sources : {&import.sources, &import.test_sources}) {
    for (std::size_t i = 0; i < sources->size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if ((*sources)[i].field == (*sources)[k].field)
          fail(ExitCode::usage, "two arrays are given for the field '{}'", (*sources)[i].field);
  }
}

/// The test arrays in the order of the training arrays, which have the same fields.
std::vector<NpySource> ordered_test(const NpyImport& import) {
  std::vector<NpySource> out;
  for (const NpySource& source : import.sources) {
    const auto found = std::ranges::find(import.test_sources, source.field, &NpySource::field);
    if (found == import.test_sources.end())
      fail(ExitCode::usage, "the field '{}' has no test array: give one for each field", source.field);
    out.push_back(*found);
  }
  if (out.size() != import.test_sources.size())
    fail(ExitCode::usage, "there are {} test arrays for {} fields", import.test_sources.size(), out.size());
  return out;
}

/// Part of a set of arrays that becomes a split.
struct NpySplit {
  const char* name;
  NpyArrays& arrays;
  std::function<bool(std::int64_t)> wanted;

  Json write(DatasetWriter& writer) const {
    std::int64_t rows = 0;
    for (std::int64_t row = 0; row < arrays.count(); ++row) rows += wanted(row) ? 1 : 0;
    if (rows == 0) fail(ExitCode::corrupt_input, "no sample is left for the split {}", name);
    writer.begin_split(name, rows);
    arrays.write(writer, wanted);
    return {{"split", name}, {"files", arrays.described()}, {"samples", rows}};
  }
};

}  // namespace

DatasetIndex import_npy(const NpyImport& import) {
  check_names(import);
  NpyArrays main(import.sources, import.on_error);
  const auto label = std::ranges::find(main.fields(), label_field, &FieldSpec::name);
  const bool labelled = label != main.fields().end();
  if (!labelled && !import.classes.empty())
    fail(ExitCode::usage, "class names were given, but no array for a field '{}'", label_field);
  std::vector<std::string> classes = import.classes;
  main.check(classes.empty() ? most_npy_classes : narrow<std::int64_t>(classes.size()));
  for (std::int64_t c = 0; import.classes.empty() && c <= main.largest_label(); ++c)
    classes.push_back(std::to_string(c));

  const auto usable = [&](std::int64_t row) { return main.usable(row); };
  const auto held = [&](std::int64_t row) { return import.set_aside.holds(row); };
  std::vector<NpySplit> splits{{"train", main, [&](std::int64_t row) { return usable(row) && !held(row); }}};
  std::unique_ptr<NpyArrays> test;
  if (!import.test_sources.empty()) {
    test = std::make_unique<NpyArrays>(ordered_test(import), import.on_error);
    for (std::size_t f = 0; f < test->fields().size(); ++f)
      if (!(test->fields()[f] == main.fields()[f]))
        fail(ExitCode::corrupt_input, "the field '{}' is {} {} in training and {} {} in the test: they must be equal",
             main.fields()[f].name, name_of(main.fields()[f].dtype), main.fields()[f].row.text(),
             name_of(test->fields()[f].dtype), test->fields()[f].row.text());
    test->check(narrow<std::int64_t>(classes.size()));
    splits.push_back({"test", *test, [&](std::int64_t row) { return test->usable(row); }});
  } else if (import.set_aside.any()) {
    splits.push_back({"test", main, [&](std::int64_t row) { return usable(row) && held(row); }});
  }

  DatasetWriter writer({.folder = import.out,
                        .name = import.name,
                        .fields = main.fields(),
                        .class_names = classes,
                        .shard_rows = import.shard_rows,
                        .compress = import.compress,
                        .existing = import.existing});
  Json said = Json::array();
  for (const NpySplit& split : splits) said.push_back(split.write(writer));
  return writer.finish({{"importer", "npy"}, {"date", utc_now()}, {"sources", said}});
}

}  // namespace trireme
