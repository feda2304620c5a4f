#include "datasets/sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "datasets/permutation.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_parts = 1024;

void check_weight(const MixPart& part, std::size_t index) {
  if (part.samples < 1) {
    fail(ExitCode::corrupt_input, "cannot draw from {} samples: the data set is empty", part.samples);
  }
  if (!(part.weight > 0 && std::isfinite(part.weight))) {
    fail(ExitCode::usage, "source {} of the mix has the weight {}: it must be above 0", index, part.weight);
  }
}

/// How many of a round's positions each part gets: nearest to its weight, at least one, together all of them.
std::vector<std::int64_t> shares_of(const std::vector<MixPart>& parts) {
  double total = 0;
  for (const auto& part : parts) total += part.weight;
  std::vector<double> owed;  // wanted, less what was given
  std::vector<std::int64_t> shares;
  std::int64_t left = mix_round;
  for (const auto& part : parts) {
    const double wanted = part.weight / total * static_cast<double>(mix_round);
    shares.push_back(std::max<std::int64_t>(1, static_cast<std::int64_t>(wanted)));
    owed.push_back(wanted - static_cast<double>(shares.back()));
    left -= shares.back();
  }
  const auto give = [&](std::size_t k, std::int64_t one) {
    shares[k] += one;
    owed[k] -= static_cast<double>(one);
    left -= one;
  };
  while (left > 0) give(static_cast<std::size_t>(std::ranges::max_element(owed) - owed.begin()), 1);
  while (left < 0) {
    std::size_t most = 0;
    for (std::size_t k = 1; k < shares.size(); ++k) {
      if (shares[k] > shares[most]) most = k;
    }
    give(most, -1);
  }
  return shares;
}

}  // namespace

Sampler::Sampler(SamplerOptions options) : seed_(options.seed), order_(options.order), blocks_(options.blocks) {
  if (blocks_.samples < 1 || blocks_.group < 1) {
    fail(ExitCode::usage, "shuffling groups of {} blocks of {} samples: both must be at least 1", blocks_.group,
         blocks_.samples);
  }
  blocks_.group = std::min(blocks_.group, std::max<std::int64_t>(1, (std::int64_t{1} << 40) / blocks_.samples));
  if (options.parts.empty() || options.parts.size() > most_parts) {
    fail(ExitCode::usage, "a mix of {} sources: wanted 1 to {}", options.parts.size(), most_parts);
  }
  share_out(options.parts);
}

Sampler::Sampler(std::int64_t samples, std::uint64_t seed, Order order)
    : Sampler(SamplerOptions{.parts = {{samples, 1}}, .seed = seed, .order = order}) {}

void Sampler::share_out(const std::vector<MixPart>& parts) {
  for (std::size_t k = 0; k < parts.size(); ++k) check_weight(parts[k], k);
  const auto shares = shares_of(parts);
  std::int64_t begin = 0;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const std::string name = parts.size() == 1 ? "shuffle" : fmt::format("shuffle/{}", k);
    parts_.push_back({.first = samples_,
                      .samples = parts[k].samples,
                      .begin = begin,
                      .share = shares[k],
                      .key = random_key(name, seed_)});
    samples_ = checked_add(samples_, parts[k].samples);
    begin += shares[k];
  }
}

std::int64_t Sampler::at(std::uint64_t position) const {
  std::int64_t sample = 0;
  fill(position, {&sample, 1});
  return sample;
}

void Sampler::fill(std::uint64_t first, std::span<std::int64_t> out) const {
  if (order_ == Order::sequential) {
    const auto n = static_cast<std::uint64_t>(samples_);
    for (auto& sample : out) sample = static_cast<std::int64_t>(first++ % n);
  } else if (parts_.size() == 1) {
    fill_part(parts_.front(), first, out);
  } else {
    fill_mix(first, out);
  }
}

void Sampler::fill_part(const Part& part, std::uint64_t first, std::span<std::int64_t> out) const {
  const auto n = static_cast<std::uint64_t>(part.samples);
  while (!out.empty()) {
    const std::uint64_t epoch = first / n, place = first % n;
    const auto now = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(n - place, out.size())));
    std::iota(now.begin(), now.end(), static_cast<std::int64_t>(place));
    if (order_ == Order::blocks) {
      fill_blocks(part, epoch, now);
    } else {
      Permutation(part.samples, part.key, epoch).map(now);
    }
    first += now.size();
    out = out.subspan(now.size());
  }
}

/// `places` are consecutive ones of an epoch.
void Sampler::fill_blocks(const Part& part, std::uint64_t epoch, std::span<std::int64_t> places) const {
  const std::int64_t whole = part.samples / blocks_.samples;
  const std::int64_t groups = std::max<std::int64_t>(1, whole / blocks_.group);
  const std::int64_t group_samples = blocks_.group * blocks_.samples;
  const Permutation order(std::max<std::int64_t>(1, whole), random_key("blocks", part.key), epoch);
  while (!places.empty()) {
    const std::int64_t group = std::min(places.front() / group_samples, groups - 1), begin = group * group_samples;
    const std::int64_t size = group + 1 == groups ? part.samples - begin : group_samples;
    const auto now =
        places.first(static_cast<std::size_t>(std::min(begin + size - places.front(), std::ssize(places))));
    for (auto& place : now) place -= begin;
    Permutation(size, random_key("in blocks", part.key ^ epoch), static_cast<std::uint64_t>(group)).map(now);
    for (auto& place : now) {
      place += begin;
      const std::int64_t block = place / blocks_.samples;
      if (block < whole) place = order(block) * blocks_.samples + place % blocks_.samples;
    }
    places = places.subspan(now.size());
  }
}

void Sampler::fill_mix(std::uint64_t first, std::span<std::int64_t> out) const {
  constexpr auto round_size = static_cast<std::uint64_t>(mix_round);
  while (!out.empty()) {
    const std::uint64_t round = first / round_size, place = first % round_size;
    const auto now = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(round_size - place, out.size())));
    std::iota(now.begin(), now.end(), static_cast<std::int64_t>(place));
    Permutation(mix_round, random_key("mix", seed_), round).map(now);
    for (auto& sample : now) {
      const auto after = std::ranges::upper_bound(parts_, sample, {}, &Part::begin);
      const Part& part = *std::prev(after);
      const std::uint64_t own =
          round * static_cast<std::uint64_t>(part.share) + static_cast<std::uint64_t>(sample - part.begin);
      fill_part(part, own, {&sample, 1});
      sample += part.first;
    }
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
