// Makes a token set (docs/formats.md) of texts: `trireme data tokenize`. Memory is bounded whatever the files' sizes,
// and the set is the same, byte for byte, for any number of threads.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/format.hpp"
#include "datasets/staged_folder.hpp"
#include "datasets/text_reader.hpp"

namespace trireme {

/// What becomes the split "validation". documents: random ones. tail: the end of the text, where a document that lies
/// on the border becomes two.
enum class HeldOut : std::uint8_t { documents, tail };

struct TokenizeOptions {
  TextInput input = {};
  /// As Tokenizer::load() takes it.
  std::string tokenizer = {};
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  /// Special token behind each document; "auto": the one the tokenizer has, if any; "none".
  std::string end_of_text = "auto";
  /// Part of the documents, or of the bytes of text, in the split "validation"; 0: no such split.
  double validation = 0;
  HeldOut held_out = HeldOut::documents;
  std::uint64_t seed = 1;
  std::int64_t threads = 1;
  std::int64_t shard_bytes = std::int64_t{256} << 20;
  Existing existing = Existing::refuse;
};

/// ExitCode::corrupt_input where there is no text, or a line is not what it should be; usage for options that cannot
/// be.
DatasetIndex tokenize(const TokenizeOptions& options);

}  // namespace trireme
