// Imports tables (CSV): chosen columns are the features of a sample, others what is to be predicted from them, a class
// or numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/on_error.hpp"
#include "datasets/set_aside.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct CsvImport {
  std::string source = {};
  /// Of the split "test"; its columns may stand in another order where both have names. Empty: none, or what
  /// `set_aside` says.
  std::string test_source = {};
  SetAside set_aside = {};
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  /// Whether the first record has the names of the columns; else they are called 1, 2, ...
  enum class Header : std::uint8_t { first_record, none } header = Header::first_record;
  char separator = ',';
  /// Empty: all but the targets and the dropped ones.
  std::vector<std::string> features = {};
  std::vector<std::string> dropped = {};
  /// One column of a class, or one or more of numbers.
  std::vector<std::string> targets = {};
  enum class Task : std::uint8_t { classes, regression } task = Task::classes;
  /// Whether features, and targets of a regression, are stored as (value - mean) / deviation of the split "train".
  enum class Scale : std::uint8_t { none, standardise } scale = Scale::none;
  /// A data set that was imported so: columns, task, classes, means and deviations are its, and none of the above is
  /// given. Where the header has no target column, the samples have no field for it: they are for predictions alone.
  std::string like = {};
  OnError on_error = OnError::stop;
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// Makes a data set with the fields x f32 (features) and label i32 () or y f32 (targets; see `like`), and
/// DatasetIndex::table.
/// Classes are the different texts of the target column, in the order of numbers where all are whole numbers, else of
/// their bytes. ExitCode::corrupt_input, with file and line, for records with another number of cells, cells that are
/// no finite number of f32, empty targets, wrong quotes, and classes that only the test has; with OnError::skip these
/// samples are left out. The files are read twice; memory does not grow with them.
DatasetIndex import_csv(const CsvImport& import);

}  // namespace trireme
