#include "datasets/bigram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "core/base/error.hpp"
#include "datasets/loader.hpp"

namespace trireme {
namespace {

/// Calls f(token, label) for each label that counts.
template <class F>
void for_each_pair(const Samples& samples, F&& f) {
  Loader loader(samples, {.batch = 64, .pass = Pass::evaluate, .fields = {"tokens", "labels"}});
  while (!loader.finished()) {
    const Batch batch = loader.next();
    const auto tokens = batch.field("tokens").span<std::int32_t>(), labels = batch.field("labels").span<std::int32_t>();
    for (std::size_t k = 0; k < tokens.size(); ++k)
      if (labels[k] >= 0) f(tokens[k], labels[k]);
  }
}

struct Counts {
  std::unordered_map<std::uint64_t, std::int64_t> pairs;
  std::vector<std::int64_t> first, second;  ///< How often a token is followed, and follows.
  std::int64_t tokens = 0;

  static std::uint64_t key(std::int32_t a, std::int32_t b) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32 | static_cast<std::uint32_t>(b);
  }
};

}  // namespace

double bigram_loss(const Samples& train, const Samples& held_out, std::int64_t vocabulary) {
  const auto size = static_cast<std::size_t>(vocabulary);
  Counts counts{{}, std::vector<std::int64_t>(size), std::vector<std::int64_t>(size)};
  for_each_pair(train, [&](std::int32_t a, std::int32_t b) {
    ++counts.pairs[Counts::key(a, b)];
    ++counts.first.at(static_cast<std::size_t>(a));
    ++counts.second.at(static_cast<std::size_t>(b));
    ++counts.tokens;
  });
  const std::vector<double> priors = {1, 3, 10, 30, 100, 300, 1000, 3000};
  std::vector<double> losses(priors.size(), 0.0);
  std::int64_t predicted = 0;
  for_each_pair(held_out, [&](std::int32_t a, std::int32_t b) {
    const auto pair = counts.pairs.find(Counts::key(a, b));
    const double together = pair == counts.pairs.end() ? 0 : static_cast<double>(pair->second);
    const double alone = (static_cast<double>(counts.second.at(static_cast<std::size_t>(b))) + 1) /
                         static_cast<double>(counts.tokens + vocabulary);
    const auto before = static_cast<double>(counts.first.at(static_cast<std::size_t>(a)));
    for (std::size_t k = 0; k < priors.size(); ++k)
      losses[k] -= std::log((together + priors[k] * alone) / (before + priors[k]));
    ++predicted;
  });
  require(predicted > 0, "a bigram baseline over no label at all");
  return *std::min_element(losses.begin(), losses.end()) / static_cast<double>(predicted);
}

}  // namespace trireme
