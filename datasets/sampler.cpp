#include "datasets/sampler.hpp"

#include <algorithm>
#include <numeric>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "datasets/permutation.hpp"

namespace trireme {

Sampler::Sampler(std::int64_t samples, std::uint64_t seed, Order order)
    : samples_(samples), key_(random_key("shuffle", seed)), order_(order) {
  if (samples < 1) fail(ExitCode::corrupt_input, "cannot draw from {} samples: the data set is empty", samples);
}

std::int64_t Sampler::at(std::uint64_t position) const {
  std::int64_t sample = 0;
  fill(position, {&sample, 1});
  return sample;
}

void Sampler::fill(std::uint64_t first, std::span<std::int64_t> out) const {
  const auto n = static_cast<std::uint64_t>(samples_);
  while (!out.empty()) {
    const std::uint64_t epoch = first / n, place = first % n;
    const auto now = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(n - place, out.size())));
    std::iota(now.begin(), now.end(), static_cast<std::int64_t>(place));
    if (order_ == Order::shuffled) Permutation(samples_, key_, epoch).map(now);
    first += now.size();
    out = out.subspan(now.size());
  }
}

PartRows part_rows(std::int64_t batch, int part, int parts) {
  require(parts >= 1 && part >= 0 && part < parts, "part {} of {} parts", part, parts);
  if (batch < parts) {
    fail(ExitCode::usage,
         "a global batch of {} cannot be divided among {}: use a batch of at least {}, or fewer processes", batch,
         parts, parts);
  }
  const std::int64_t first = checked_mul(batch, part) / parts;
  return {first, checked_mul(batch, part + 1) / parts - first};
}

}  // namespace trireme
