// A generated data set of names in made-up languages, for machines that cannot fetch a real one and for tests. A
// language is a chain of letters: which letter follows which, and where names end, is drawn from the seed. Every name
// is a pure function of (seed, split, index).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct NamesOptions {
  /// Bytes of the longest name; all are of 3 or more small letters a to z.
  static constexpr std::int64_t longest = 12;

  std::string out = {};
  std::string name = {};
  std::int64_t count = 20000;
  /// 0: no split "test".
  std::int64_t test_count = 2000;
  std::int64_t languages = 8;
  std::uint64_t seed = 1;
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// What generate_names() made.
struct GeneratedNames {
  DatasetIndex index;
  /// The part of the names of the last split that is told right by whoever knows the chains and takes the language that
  /// gives the name most often: nobody can be better, but for luck.
  double best_accuracy = 0;
};

/// Makes a data set of text_fields() (datasets/text_samples.hpp); its classes are the languages, called by a name of
/// their own.
GeneratedNames generate_names(const NamesOptions& options);

}  // namespace trireme
