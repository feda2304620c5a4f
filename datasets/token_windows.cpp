#include "datasets/token_windows.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/checked.hpp"
#include "core/io/hash.hpp"

namespace trireme {
namespace {

constexpr std::int64_t most_context = std::int64_t{1} << 26;

/// The documents of a split as one stream of tokens, whatever shards they lie in.
class TokenStream {
 public:
  explicit TokenStream(std::shared_ptr<const Split> split) : split_(std::move(split)) {
    if (!split_->tokens()) {
      fail(ExitCode::usage, "split '{}' holds no tokens: make a token set with `trireme data tokenize`",
           split_->name());
    }
    const int field = split_->field_index(TokenSetEntry::field);
    narrow_ = split_->fields()[to_size(field)].dtype == DType::u16;
    vocabulary_ = split_->tokens()->vocabulary;
    for (auto& shard : split_->ragged_shards(field)) {
      first_.push_back(count_);
      count_ = checked_add(count_, shard.elements);
      shards_.push_back(std::move(shard));
    }
    if (count_ < 2) {
      fail(ExitCode::corrupt_input, "split '{}' has {} token(s): wanted at least 2, one to predict the next from",
           split_->name(), count_);
    }
  }

  const Split& split() const { return *split_; }
  std::int64_t count() const { return count_; }

  /// Tokens [begin, begin + out.size()) of the stream, all of them in it.
  void read(std::int64_t begin, std::span<std::int32_t> out) const {
    for (std::size_t k = shard_of(begin); !out.empty(); ++k) {
      const std::int64_t at = begin - first_[k];
      const auto now = out.first(to_size(std::min(shards_[k].elements - at, std::ssize(out))));
      const std::uint32_t largest =
          narrow_ ? copy<std::uint16_t>(shards_[k], at, now) : copy<std::int32_t>(shards_[k], at, now);
      if (largest >= static_cast<std::uint64_t>(vocabulary_)) complain(shards_[k], at, now);
      begin += std::ssize(now);
      out = out.subspan(now.size());
    }
  }

  /// Calls `take` with where the document of token `begin` begins, then with all beginnings in (begin, end), rising.
  template <class Take>
  void documents(std::int64_t begin, std::int64_t end, Take&& take) const {
    std::size_t k = shard_of(begin);
    std::int64_t next = document_of(shards_[k], begin - first_[k]);
    take(first_[k] + offset(shards_[k], next));
    for (++next; k < shards_.size(); ++k, next = 0) {
      for (std::int64_t last = -1; next < shards_[k].samples; ++next) {
        const std::int64_t local = offset(shards_[k], next), start = first_[k] + local;
        if (start >= end) return;
        if (local < last) broken(shards_[k], next);
        if (local != last && start > begin && local < shards_[k].elements) take(start);
        last = local;
      }
    }
  }

 private:
  using Shard = Split::RaggedShard;

  std::size_t shard_of(std::int64_t token) const {
    return static_cast<std::size_t>(std::ranges::upper_bound(first_, token) - first_.begin()) - 1;
  }

  static std::int64_t offset(const Shard& shard, std::int64_t document) {
    std::int64_t value = 0;
    std::memcpy(&value, shard.offsets + document * 8, 8);
    return value;
  }

  /// The last document that begins at `token` or before it: empty ones hold no token.
  std::int64_t document_of(const Shard& shard, std::int64_t token) const {
    std::int64_t low = 0, high = shard.samples;
    while (high - low > 1) {
      const std::int64_t middle = low + (high - low) / 2;
      (offset(shard, middle) <= token ? low : high) = middle;
    }
    const std::int64_t begin = offset(shard, low);
    if (begin < 0 || begin > token || offset(shard, low + 1) <= token) broken(shard, low);
    return low;
  }

  template <class Id>
  static std::uint32_t copy(const Shard& shard, std::int64_t at, std::span<std::int32_t> out) {
    const std::byte* from = shard.data + at * static_cast<std::int64_t>(sizeof(Id));
    std::uint32_t largest = 0;
    for (auto& token : out) {
      Id id;
      std::memcpy(&id, from, sizeof id);
      from += sizeof id;
      token = id;
      largest = std::max(largest, static_cast<std::uint32_t>(id));
    }
    return largest;
  }

  [[noreturn]] void complain(const Shard& shard, std::int64_t at, std::span<const std::int32_t> tokens) const {
    const auto bad = std::ranges::find_if(tokens, [&](std::int32_t id) { return id < 0 || id >= vocabulary_; });
    fail(ExitCode::corrupt_input,
         "token {} of {} has the id {}, the vocabulary has {}: the shard is damaged; run `trireme data verify`",
         at + (bad - tokens.begin()), shard.path, *bad, vocabulary_);
  }

  [[noreturn]] static void broken(const Shard& shard, std::int64_t document) {
    fail(ExitCode::corrupt_input,
         "document {} of {} does not begin where the one before it ends: the shard is damaged; run `trireme data "
         "verify`",
         document, shard.path);
  }

  std::shared_ptr<const Split> split_;
  std::vector<Shard> shards_;
  std::vector<std::int64_t> first_;
  std::int64_t count_ = 0, vocabulary_ = 0;
  bool narrow_ = false;
};

class TokenWindows : public SampleSource {
 public:
  TokenWindows(std::shared_ptr<const Split> split, const TokenWindowOptions& options)
      : stream_(std::move(split)), options_(options), context_(options.context) {
    if (context_ < 1 || context_ > most_context)
      fail(ExitCode::usage, "windows of {} tokens: wanted 1 to {}", context_, most_context);
    const RowType type{DType::i32, Shape{context_}};
    fields_ = {{"tokens", type}, {"labels", type}};
    if (options_.starts == TokenWindowOptions::Starts::with) fields_.push_back({"document_start", type});
    const bool apart = options_.documents == TokenWindowOptions::Documents::apart;
    fingerprint_ = hash_text(fmt::format("{} {} windows of {}{}", stream_.split().fingerprint(), name(), context_,
                                         apart ? ", documents apart" : ""))
                       .hex();
  }

  const std::string& name() const override { return stream_.split().name(); }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::int64_t count() const override { return ceil_div(stream_.count() - 1, context_); }
  const std::vector<SampleField>& sample_fields() const override { return fields_; }
  bool makes_rows() const override { return true; }

  void rows(const RowRequest& request) const override {
    std::byte* out = request.room;
    for (std::size_t i = 0; i < request.samples.size(); ++i, out += fields_.front().type.bytes()) {
      const std::span row(reinterpret_cast<std::int32_t*>(out), to_size(context_));
      request.rows[i] = out;
      if (request.samples[i] == no_sample) {
        std::ranges::fill(row, request.field == labels ? ignored_label : 0);
      } else if (request.field == document_start) {
        fill_starts(request.samples[i] * context_, row);
      } else {
        fill_tokens(request.samples[i] * context_, request.field, row);
      }
    }
  }

 private:
  static constexpr int labels = 1, document_start = 2;

  void fill_tokens(std::int64_t begin, int field, std::span<std::int32_t> row) const {
    if (field == labels) ++begin;
    const auto here = row.first(to_size(std::min(context_, stream_.count() - begin)));
    stream_.read(begin, here);
    std::ranges::fill(row.subspan(here.size()), field == labels ? ignored_label : 0);
    if (field != labels || options_.documents == TokenWindowOptions::Documents::joined) return;
    stream_.documents(begin - 1, begin + std::ssize(here), [&](std::int64_t start) {
      if (start >= begin) row[to_size(start - begin)] = ignored_label;
    });
  }

  void fill_starts(std::int64_t begin, std::span<std::int32_t> row) const {
    const std::int64_t end = std::min(begin + context_, stream_.count());
    stream_.documents(begin, end, [&](std::int64_t start) {
      const std::int64_t place = std::max<std::int64_t>(0, start - begin);
      std::ranges::fill(row.subspan(to_size(place)), static_cast<std::int32_t>(place));
    });
  }

  TokenStream stream_;
  TokenWindowOptions options_;
  std::int64_t context_;
  std::vector<SampleField> fields_;
  std::string fingerprint_;
};

}  // namespace

Samples token_windows(std::shared_ptr<const Split> split, const TokenWindowOptions& options) {
  return std::make_shared<const TokenWindows>(std::move(split), options);
}

}  // namespace trireme
