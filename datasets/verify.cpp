#include "datasets/verify.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/io/hash.hpp"
#include "core/io/image_decode.hpp"
#include "datasets/progress.hpp"
#include "datasets/shard_file.hpp"
#include "datasets/tokenizer.hpp"

namespace trireme {
namespace {

constexpr std::size_t hash_block = std::size_t{8} << 20;

Hash128 hash_with_progress(const MappedFile& map, Progress& progress) {
  Hasher hasher;
  for (std::size_t at = 0; at < map.size(); at += hash_block) {
    const std::size_t n = std::min(hash_block, map.size() - at);
    hasher.update(map.data() + at, n);
    progress.advance(static_cast<std::int64_t>(n));
  }
  return hasher.digest();
}

/// Which arrays of the shard no longer have the checksum they were written with.
void check_arrays(const MappedFile& map, const std::vector<StoredArray>& arrays, const std::string& path,
                  std::vector<std::string>& problems) {
  for (const auto& array : arrays) {
    if (hash_elements(map, array, path).hex() == array.checksum) continue;
    problems.push_back(fmt::format("the elements of '{}' have changed", array.name));
  }
}

void check_labels(const Split& split, std::vector<std::string>& problems) {
  const auto& fields = split.fields();
  const auto label = std::ranges::find(fields, "label", &FieldSpec::name);
  if (split.class_names().empty() || label == fields.end() || label->dtype != DType::i32 || label->row_bytes() != 4)
    return;
  const auto classes = static_cast<std::int64_t>(split.class_names().size());
  for (std::int64_t row = 0; row < split.count(); ++row) {
    std::int32_t value = 0;
    split.copy_row(static_cast<int>(label - fields.begin()), row, reinterpret_cast<std::byte*>(&value));
    if (value < 0 || value >= classes) {
      problems.push_back(
          fmt::format("label {} of its sample {} is out of range: there are {} classes", value, row, classes));
      return;
    }
  }
}

template <class Id>
void check_ids(const Split::RaggedShard& shard, std::int64_t vocabulary, std::vector<std::string>& problems) {
  for (std::int64_t i = 0; i < shard.elements; ++i) {
    Id id = 0;
    std::memcpy(&id, shard.data + i * static_cast<std::int64_t>(sizeof id), sizeof id);
    if (id >= 0 && id < vocabulary) continue;
    problems.push_back(fmt::format("id {} of its token {} is out of range: the vocabulary has {}", id, i, vocabulary));
    return;
  }
}

void check_tokens(const Split& split, std::vector<std::string>& problems) {
  if (!split.tokens()) return;
  const int field = split.field_index(TokenSetEntry::field);
  const DType dtype = split.fields()[to_size(field)].dtype;
  for (const auto& shard : split.ragged_shards(field)) {
    const std::int64_t vocabulary = split.tokens()->vocabulary;
    std::int64_t ends[2];
    std::memcpy(&ends[0], shard.offsets, 8);
    std::memcpy(&ends[1], shard.offsets + shard.samples * 8, 8);
    if (ends[0] != 0 || ends[1] != shard.elements) {
      problems.push_back(fmt::format("its documents have the tokens [{}, {}) of {}", ends[0], ends[1], shard.elements));
    }
    dtype == DType::u16 ? check_ids<std::uint16_t>(shard, vocabulary, problems)
                        : check_ids<std::int32_t>(shard, vocabulary, problems);
  }
}

/// The tokenizer of a token set is the one its tokens were made with.
void check_tokenizer(const Dataset& dataset, std::vector<ShardProblem>& problems) {
  const auto& tokens = dataset.index().tokens;
  if (!tokens) return;
  try {
    const Tokenizer tokenizer = Tokenizer::load(dataset.folder() + "/" + tokens->tokenizer);
    if (tokenizer.hash().hex() != tokens->tokenizer_hash)
      problems.push_back({tokens->tokenizer, "it is not the tokenizer the index speaks of"});
    else if (tokenizer.vocabulary() != tokens->vocabulary)
      problems.push_back({tokens->tokenizer, fmt::format("it has a vocabulary of {}, the index says {}",
                                                         tokenizer.vocabulary(), tokens->vocabulary)});
  } catch (const Error& error) {
    problems.push_back({tokens->tokenizer, error.what()});
  }
}

void check_ragged(const Split& split) {
  for (std::size_t f = 0; f < split.fields().size(); ++f) {
    for (std::int64_t row = 0; split.fields()[f].ragged() && row < split.count(); ++row)
      split.ragged(static_cast<int>(f), row);
  }
}

/// Every image that is kept as a file is one.
void check_images(const Split& split, std::vector<std::string>& problems) {
  for (std::size_t f = 0; f < split.fields().size(); ++f) {
    const FieldSpec& field = split.fields()[f];
    for (std::int64_t row = 0; field.encoded() && row < split.count(); ++row) {
      const RaggedRow file = split.ragged(static_cast<int>(f), row);
      const std::string_view bytes(reinterpret_cast<const char*>(file.data), to_size(file.elements));
      try {
        decode_image(bytes, field.row[2], fmt::format("the {} of its sample {}", field.name, row));
      } catch (const Error& error) {
        problems.push_back(error.what());
        return;
      }
    }
  }
}

struct ShardCheck {
  const Dataset& dataset;
  const SplitEntry& split;
  const ShardEntry& shard;
  Progress& progress;

  std::vector<std::string> run() const {
    std::vector<std::string> problems;
    try {
      const std::string path = dataset.folder() + "/" + shard.file;
      const MappedFile map(path, to_size(shard.bytes));
      const bool same = hash_with_progress(map, progress).hex() == shard.checksum;
      // HDF5 is shown no file that has changed.
      const auto arrays = shard.arrays.empty() && same ? arrays_of(path) : shard.arrays;
      structure_of(map, arrays, path);
      check_arrays(map, arrays, path, problems);
      if (!same && problems.empty()) {
        problems.push_back(fmt::format("its checksum is not the one in the index{}",
                                       arrays.empty() ? "" : ": its header has changed"));
      }
      if (arrays.empty()) return problems;
      // Opened as a split of its own, the shard passes the checks that every reader makes.
      const Split alone(dataset.folder(), dataset.index(), {split.name, shard.count, {shard}});
      check_labels(alone, problems);
      check_ragged(alone);
      check_tokens(alone, problems);
      check_images(alone, problems);
    } catch (const Error& error) {
      problems.push_back(error.what());
    }
    return problems;
  }
};

}  // namespace

VerifyReport verify_dataset(const Dataset& dataset) {
  VerifyReport report;
  for (const auto& split : dataset.index().splits) {
    for (const auto& shard : split.shards) report.bytes += shard.bytes;
  }
  Progress progress("verifying", report.bytes, "bytes");
  for (const auto& split : dataset.index().splits) {
    for (const auto& shard : split.shards) {
      for (auto& what : ShardCheck{dataset, split, shard, progress}.run())
        report.problems.push_back({shard.file, what});
      report.shards += 1;
      report.samples += shard.count;
    }
  }
  check_tokenizer(dataset, report.problems);
  return report;
}

}  // namespace trireme
