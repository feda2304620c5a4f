#include "datasets/names.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "datasets/draws.hpp"
#include "datasets/progress.hpp"
#include "datasets/text_samples.hpp"

namespace trireme {
namespace {

constexpr std::size_t letter_count = 26, start_row = letter_count;
constexpr std::size_t shortest = 3, longest = NamesOptions::longest;
constexpr std::string_view vowels = "aeiou", rare = "qwxy";

bool is_vowel(std::size_t letter) { return vowels.find(static_cast<char>('a' + letter)) != std::string_view::npos; }
bool is_rare(std::size_t letter) { return rare.find(static_cast<char>('a' + letter)) != std::string_view::npos; }

/// Which letter follows which with what probability, and how likely a name ends after a letter once it may.
class Language {
 public:
  explicit Language(Draws draw) {
    for (std::size_t before = 0; before <= start_row; ++before) {
      const bool after_vowel = before != start_row && is_vowel(before);
      // Vowels and consonants mostly take turns; the fifth power makes some letters far more frequent than others.
      const double own_kind = after_vowel ? 0.1 : 0.25;
      std::array<double, letter_count>& row = next_[before];
      double kinds[2] = {0, 0};
      for (std::size_t to = 0; to < letter_count; ++to) {
        row[to] = std::pow(draw.between(0, 1), 5) * (is_rare(to) ? 0.2 : 1);
        kinds[is_vowel(to) ? 1 : 0] += row[to];
      }
      for (std::size_t to = 0; to < letter_count; ++to) {
        const bool same = before == start_row ? is_vowel(to) : is_vowel(to) == after_vowel;
        row[to] *= (same ? own_kind : 1 - own_kind) / kinds[is_vowel(to) ? 1 : 0];
      }
      if (before != start_row) end_[before] = draw.between(0.02, 0.5);
    }
  }

  std::string name(Draws draw) const {
    std::string out;
    for (std::size_t before = start_row; out.size() < longest; before = static_cast<std::size_t>(out.back() - 'a')) {
      if (out.size() >= shortest && draw.between(0, 1) < end_[before]) break;
      double left = draw.between(0, 1);
      std::size_t to = 0;
      while (to + 1 < letter_count && left >= next_[before][to]) left -= next_[before][to++];
      out += static_cast<char>('a' + to);
    }
    return out;
  }

  /// The logarithm of how likely name() is to give it.
  double log_likelihood(const std::string& name) const {
    double out = 0;
    std::size_t before = start_row;
    for (std::size_t k = 0; k < name.size(); ++k) {
      const auto to = static_cast<std::size_t>(name[k] - 'a');
      out += std::log(next_[before][to]) + (k >= shortest ? std::log1p(-end_[before]) : 0);
      before = to;
    }
    return out + (name.size() < longest ? std::log(end_[before]) : 0);
  }

 private:
  std::array<std::array<double, letter_count>, letter_count + 1> next_;
  std::array<double, letter_count> end_;
};

struct Languages {
  std::vector<Language> chains;
  std::vector<std::string> names;

  explicit Languages(const NamesOptions& options) {
    const std::uint64_t grammars = random_key("names/languages", options.seed);
    const std::uint64_t own = random_key("names/own", options.seed);
    for (std::int64_t k = 0; k < options.languages; ++k) {
      chains.emplace_back(Draws(grammars, k));
      std::string called = chains.back().name(Draws(own, k));
      while (std::ranges::count(names, called) > 0) called += "a";
      names.push_back(called);
    }
  }
  std::size_t likeliest(const std::string& name) const {
    std::vector<double> all;
    for (const Language& one : chains) all.push_back(one.log_likelihood(name));
    return static_cast<std::size_t>(std::ranges::max_element(all) - all.begin());
  }
};

struct NamesSplit {
  const char* name;
  std::int64_t count;
};

/// Returns the part of the names that are told right by likeliest().
double write_names(const NamesSplit& split, std::uint64_t seed, const Languages& languages, DatasetWriter& writer) {
  const std::uint64_t stream = random_key(std::string("names/") + split.name, seed);
  writer.begin_split(split.name, split.count);
  Progress progress(std::string("drawing ") + split.name, split.count);
  TextSamples samples(writer, NamesOptions::longest);
  std::int64_t right = 0;
  for (std::int64_t index = 0; index < split.count; ++index) {
    Draws draw(stream, index);
    const std::int32_t label = draw.below(narrow<std::uint32_t>(languages.chains.size()));
    const std::string name = languages.chains[to_size(label)].name(draw);
    samples.add(name, label);
    if (languages.likeliest(name) == to_size(label)) ++right;
    progress.advance(1);
  }
  samples.flush();
  return static_cast<double>(right) / static_cast<double>(split.count);
}

}  // namespace

GeneratedNames generate_names(const NamesOptions& options) {
  if (options.count < 1 || options.test_count < 0 || options.languages < 2 || options.languages > 1000)
    fail(ExitCode::usage, "{} training and {} test names in {} languages: wanted at least 1 and 0, in 2 to 1000",
         options.count, options.test_count, options.languages);
  const Languages languages(options);
  DatasetWriter writer({.folder = options.out,
                        .name = options.name,
                        .fields = text_fields(NamesOptions::longest),
                        .class_names = languages.names,
                        .shard_rows = options.shard_rows,
                        .compress = options.compress,
                        .existing = options.existing});
  GeneratedNames out;
  out.best_accuracy = write_names({"train", options.count}, options.seed, languages, writer);
  if (options.test_count > 0)
    out.best_accuracy = write_names({"test", options.test_count}, options.seed, languages, writer);
  out.index = writer.finish({{"importer", "names"},
                             {"date", utc_now()},
                             {"seed", options.seed},
                             {"best_accuracy", out.best_accuracy},
                             {"sources", Json::array()}});
  return out;
}

}  // namespace trireme
