// Joins pairs by counts that are kept up to date: each merge looks only at the words it changes (Sennrich et al. 2016,
// with a queue of pairs by count).
#include <algorithm>
#include <queue>
#include <unordered_map>

#include "core/base/checked.hpp"
#include "datasets/byte_alphabet.hpp"
#include "datasets/progress.hpp"
#include "datasets/tokenizer_training.hpp"

namespace trireme {
namespace {

using Pair = std::pair<std::int32_t, std::int32_t>;

struct PairHash {
  std::size_t operator()(const Pair& pair) const {
    const std::uint64_t both =
        std::uint64_t{static_cast<std::uint32_t>(pair.first)} << 32 | static_cast<std::uint32_t>(pair.second);
    const std::uint64_t mixed = both * 0x9e3779b97f4a7c15U;
    return static_cast<std::size_t>(mixed ^ mixed >> 32);
  }
};

/// A word as the tokens it consists of at present: places [begin, begin + length) of one long list.
struct Word {
  std::size_t begin;
  std::uint32_t length;
  std::int64_t count;
};

struct PairInfo {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  // in which it was seen; it may have gone since
};

struct Candidate {
  std::int64_t count;
  Pair pair;
  /// The queue gives the greatest first.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.count != b.count ? a.count < b.count : a.pair > b.pair;
  }
};

class PairTraining {
 public:
  PairTraining(const std::vector<CountedWord>& words, std::int64_t minimum) : minimum_(minimum) {
    std::array<std::int32_t, 256> id_of{};
    for (int place = 0; place < 256; ++place) {
      id_of[byte_of_place(place)] = place;
      add_token(std::string(1, static_cast<char>(byte_of_place(place))));
    }
    for (const auto& word : words) {
      words_.push_back({ids_.size(), narrow<std::uint32_t>(word.bytes.size()), word.count});
      for (const char c : word.bytes) ids_.push_back(id_of[static_cast<unsigned char>(c)]);
    }
    count_pairs();
  }

  TokenizerModel run(std::int64_t tokens) {
    Progress progress("joining pairs", tokens - 256, "tokens");
    while (std::ssize(model_.tokens) < tokens && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      PairInfo& info = pairs_[best.pair];
      if (best.count != info.count) {
        if (info.count > 0) queue_.push({info.count, best.pair});
        continue;
      }
      if (best.count < minimum_) break;
      const auto before = std::ssize(model_.tokens);
      join(best.pair, std::exchange(info, {}).words);
      progress.advance(std::ssize(model_.tokens) - before);
    }
    return std::move(model_);
  }

 private:
  /// Two pairs may make the same bytes: then they make the same token.
  std::int32_t add_token(const std::string& bytes) {
    const auto [found, added] = known_.emplace(bytes, static_cast<std::int32_t>(model_.tokens.size()));
    if (added) model_.tokens.push_back(bytes);
    return found->second;
  }

  void count_pairs() {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      const Word& word = words_[w];
      for (std::size_t i = 1; i < word.length; ++i) {
        PairInfo& info = pairs_[{ids_[word.begin + i - 1], ids_[word.begin + i]}];
        info.count += word.count;
        see(info, static_cast<std::uint32_t>(w));
      }
    }
    for (const auto& [pair, info] : pairs_) queue_.push({info.count, pair});
  }

  static void see(PairInfo& info, std::uint32_t word) {
    if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
  }

  void join(const Pair& pair, const std::vector<std::uint32_t>& words) {
    const auto text = [&](std::int32_t id) { return model_.tokens[to_size(id)]; };
    const std::int32_t result = add_token(text(pair.first) + text(pair.second));
    model_.merges.push_back({pair.first, pair.second, result});
    grown_.clear();
    for (const std::uint32_t word : words) join_in_word(pair, result, word);
    std::ranges::sort(grown_);
    const auto rest = std::ranges::unique(grown_);
    grown_.erase(rest.begin(), rest.end());
    for (const Pair& one : grown_) queue_.push({pairs_[one].count, one});
  }

  void join_in_word(const Pair& pair, std::int32_t result, std::uint32_t number) {
    Word& word = words_[number];
    std::int32_t* const ids = ids_.data() + word.begin;
    const auto lose = [&](std::int32_t left, std::int32_t right) { pairs_[{left, right}].count -= word.count; };
    const auto gain = [&](std::int32_t left, std::int32_t right) {
      PairInfo& info = pairs_[{left, right}];
      info.count += word.count;
      see(info, number);
      grown_.emplace_back(left, right);
    };
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < word.length; ++i) {
      if (i + 1 == word.length || ids[i] != pair.first || ids[i + 1] != pair.second) {
        ids[out++] = ids[i];
        continue;
      }
      if (out > 0) {
        lose(ids[out - 1], pair.first);
        gain(ids[out - 1], result);
      }
      if (i + 2 < word.length) {
        lose(pair.second, ids[i + 2]);
        gain(result, ids[i + 2]);
      }
      ids[out++] = result;
      ++i;
    }
    word.length = out;
  }

  std::int64_t minimum_;
  TokenizerModel model_;
  std::unordered_map<std::string, std::int32_t> known_;
  std::vector<Word> words_;
  std::vector<std::int32_t> ids_;
  std::unordered_map<Pair, PairInfo, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> grown_;
};

}  // namespace

TokenizerModel train_byte_pairs(const std::vector<CountedWord>& words, const TokenizerTraining& training) {
  const std::int64_t tokens = training.vocabulary - std::ssize(training.special);
  if (tokens < 256) {
    fail(ExitCode::usage, "a vocabulary of {} tokens: wanted at least {}, the 256 bytes and {} special tokens",
         training.vocabulary, 256 + training.special.size(), training.special.size());
  }
  if (training.minimum_count < 1)
    fail(ExitCode::usage, "pairs seen {} times: wanted at least 1", training.minimum_count);
  TokenizerModel model = PairTraining(words, training.minimum_count).run(tokens);
  model.pattern = training.pattern;
  return model;
}

}  // namespace trireme
