// How a data set holds one text and one class per sample: fields text u8 (longest), bytes with zeros behind them,
// length i32 (), how many of them count, and label i32 ().
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "datasets/writer.hpp"

namespace trireme {

inline std::vector<FieldSpec> text_fields(std::int64_t longest) {
  return {{"text", DType::u8, Shape{longest}}, {"length", DType::i32, Shape{}}, {"label", DType::i32, Shape{}}};
}

/// Collects samples of text_fields() and gives them to the writer in blocks.
class TextSamples {
 public:
  /// Both are kept; the split has been begun.
  TextSamples(DatasetWriter& writer, std::int64_t longest)
      : writer_(writer), longest_(static_cast<std::size_t>(longest)) {}
  /// `text` has at most `longest` bytes.
  void add(std::string_view text, std::int32_t label) {
    bytes_.resize(bytes_.size() + longest_, 0);
    std::ranges::copy(text, bytes_.end() - static_cast<std::ptrdiff_t>(longest_));
    lengths_.push_back(static_cast<std::int32_t>(text.size()));
    labels_.push_back(label);
    if (bytes_.size() >= block_bytes) flush();
  }
  /// After the last sample.
  void flush() {
    const FieldBlock blocks[] = {{bytes_.data()}, {lengths_.data()}, {labels_.data()}};
    if (!labels_.empty()) writer_.append(std::ssize(labels_), blocks);
    bytes_.clear();
    lengths_.clear();
    labels_.clear();
  }

 private:
  static constexpr std::size_t block_bytes = std::size_t{1} << 18;
  DatasetWriter& writer_;
  std::size_t longest_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::int32_t> lengths_, labels_;
};

}  // namespace trireme
