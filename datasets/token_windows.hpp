// Windows of a stream of tokens, for training language models: the documents of a split one after the other, across
// shards, cut every T tokens whatever T is at run time. Sample i has the tokens [i * T, i * T + T) and, as labels, the
// ones that follow each of them.
#pragma once

#include <cstdint>
#include <memory>

#include "datasets/dataset.hpp"
#include "datasets/sample_source.hpp"

namespace trireme {

/// The label of a position that has nothing to predict.
inline constexpr std::int32_t ignored_label = -1;

struct TokenWindowOptions {
  /// Tokens of a window: T >= 1.
  std::int64_t context = 0;
  /// joined: the first token of a document is predicted from the last one of the document before. apart: that label is
  /// ignored_label.
  enum class Documents { joined, apart } documents = Documents::joined;
  /// with: there is a field `document_start`.
  enum class Starts { without, with } starts = Starts::without;
};

/// The windows of a split of a token set (docs/formats.md). Fields of a batch:
///   tokens         i32 (rows, T)
///   labels         i32 (rows, T): the next token, or ignored_label
///   document_start i32 (rows, T): for each position the place in the row at which its document begins; 0 where it
///                  began in an earlier window. Attention that stays inside documents needs no more.
/// There are ceil((tokens - 1) / T) windows; the last one is filled up with token 0 and ignored_label, and so are all
/// labels of a row that is no sample. ExitCode::usage for T < 1 or a split without tokens, corrupt_input for a stream
/// of fewer than 2 tokens; reading an id outside the vocabulary is corrupt_input.
Samples token_windows(std::shared_ptr<const Split> split, const TokenWindowOptions& options);

}  // namespace trireme
