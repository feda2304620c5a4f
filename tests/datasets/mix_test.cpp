// The order of samples beyond one shuffled source: mixes by weight, blocks for slow disks. Every epoch of every source
// is still a permutation, and everything is a function of the position alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "datasets/loader.hpp"
#include "datasets/open_samples.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

std::vector<std::int64_t> stream(const Sampler& sampler, std::uint64_t first, std::int64_t count) {
  std::vector<std::int64_t> out(to_size(count));
  sampler.fill(first, out);
  return out;
}

TEST(Mix, EachSourceGetsItsShareOfEveryRound) {
  const Sampler sampler({.parts = {{100, 3}, {7, 1}, {1000, 0.5}, {5, 1e-9}}, .seed = 4});
  EXPECT_EQ(sampler.samples(), 1112);
  for (std::uint64_t round = 0; round < 5; ++round) {
    std::array<std::int64_t, 4> seen{};
    for (const std::int64_t sample : stream(sampler, round * mix_round, mix_round))
      ++seen[sample < 100 ? 0 : sample < 107 ? 1 : sample < 1107 ? 2 : 3];
    EXPECT_NEAR(static_cast<double>(seen[0]), 3 / 4.5 * mix_round, 1.5);
    EXPECT_NEAR(static_cast<double>(seen[1]), 1 / 4.5 * mix_round, 1.5);
    EXPECT_NEAR(static_cast<double>(seen[2]), 0.5 / 4.5 * mix_round, 1.5);
    EXPECT_EQ(seen[3], 1) << "a source with any weight is seen";
  }
}

TEST(Mix, EachSourcesEpochsArePermutations) {
  const std::int64_t sizes[] = {10, 33};
  const Sampler sampler({.parts = {{sizes[0], 1}, {sizes[1], 2}}, .seed = 8});
  std::array<std::vector<std::int64_t>, 2> of;
  // Over whole rounds each source has given whole pieces of its own stream, in some order.
  constexpr std::int64_t rounds = 330;
  for (const std::int64_t sample : stream(sampler, 0, rounds * mix_round)) {
    const std::size_t source = sample < sizes[0] ? 0 : 1;
    of[source].push_back(source == 0 ? sample : sample - sizes[0]);
  }
  for (std::size_t source = 0; source < 2; ++source) {
    std::map<std::int64_t, std::int64_t> counts;
    for (const std::int64_t sample : of[source]) ++counts[sample];
    const std::int64_t epochs = std::ssize(of[source]) / sizes[source];
    EXPECT_EQ(std::ssize(counts), sizes[source]);
    for (const auto& [sample, count] : counts) EXPECT_NEAR(static_cast<double>(count), static_cast<double>(epochs), 1);
  }
}

TEST(Mix, IsAFunctionOfThePosition) {
  for (const Order order : {Order::shuffled, Order::blocks}) {
    const Sampler sampler(
        {.parts = {{40, 3}, {70, 1}}, .seed = 2, .order = order, .blocks = {.samples = 8, .group = 2}});
    const auto whole = stream(sampler, 0, 3 * mix_round);
    for (const std::uint64_t at : {0, 1, 4095, 4096, 4097, 12000}) EXPECT_EQ(sampler.at(at), whole[at]) << at;
    EXPECT_EQ(stream(sampler, 4000, 200), std::vector<std::int64_t>(whole.begin() + 4000, whole.begin() + 4200));
  }
}

TEST(Mix, WeightsThatCannotBeAreRefused) {
  for (const double weight : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    expect_error(ExitCode::usage, {"source 1", "above 0"}, [&] { Sampler({.parts = {{5, 1}, {5, weight}}}); });
  }
  expect_error(ExitCode::corrupt_input, {"empty"}, [] { Sampler({.parts = {{5, 1}, {0, 1}}}); });
  expect_error(ExitCode::usage, {"a mix of 0"}, [] { Sampler(SamplerOptions{}); });
  expect_error(ExitCode::usage, {"blocks of 0"}, [] { Sampler({.parts = {{5, 1}}, .blocks = {.samples = 0}}); });
}

TEST(Blocks, EveryEpochIsAPermutation) {
  for (const std::int64_t n : {1, 2, 5, 8, 63, 64, 65, 1000}) {
    for (const std::int64_t block : {1, 3, 8, 64, 5000}) {
      for (const std::int64_t group : {1, 4, 1000000}) {
        const Sampler sampler(
            {.parts = {{n, 1}}, .seed = 3, .order = Order::blocks, .blocks = {.samples = block, .group = group}});
        const auto all = stream(sampler, 0, 3 * n);
        for (int epoch = 0; epoch < 3; ++epoch) {
          const std::set<std::int64_t> seen(all.begin() + epoch * n, all.begin() + (epoch + 1) * n);
          ASSERT_EQ(std::ssize(seen), n) << n << " samples in blocks of " << block << ", groups of " << group;
          ASSERT_EQ(*seen.rbegin(), n - 1);
        }
        for (std::int64_t at = 0; at < n; at += 7)
          ASSERT_EQ(sampler.at(static_cast<std::uint64_t>(at)), all[to_size(at)]);
      }
    }
  }
}

TEST(Blocks, NeighboursComeNearEachOther) {
  const std::int64_t n = 64 * 100;
  const Sampler sampler({.parts = {{n, 1}}, .seed = 3, .order = Order::blocks, .blocks = {.samples = 64, .group = 4}});
  const auto all = stream(sampler, 0, 2 * n);
  for (std::int64_t first = 0; first < n; first += 256) {
    std::set<std::int64_t> blocks;
    for (std::int64_t at = first; at < first + 256; ++at) blocks.insert(all[to_size(at)] / 64);
    ASSERT_EQ(blocks.size(), 4U) << "position " << first;
  }
  EXPECT_FALSE(std::is_sorted(all.begin(), all.begin() + 256)) << "samples of a group are shuffled";
  EXPECT_NE(std::vector(all.begin(), all.begin() + n), std::vector(all.begin() + n, all.end())) << "epochs differ";
}

class MixedLoader : public testing::Test {
 protected:
  void SetUp() override {
    write_small(dir_ / "a", {.rows = 30, .shard_rows = 7});
    write_small(dir_ / "b", {.rows = 12, .shard_rows = 5});
  }
  /// Of which source a row is, and which sample: the values of both sets are functions of the number alone.
  static std::vector<std::int64_t> ids(Loader& loader, int batches) {
    std::vector<std::int64_t> out;
    for (int i = 0; i < batches; ++i) {
      const Batch batch = loader.next();
      const auto of_batch = batch.field("id").to_vector<std::int64_t>();
      for (std::size_t row = 0; row < of_batch.size(); ++row)
        EXPECT_EQ(batch.field("image").span<std::uint8_t>()[row * 30 + 4], pixel_of(of_batch[row], 4));
      out.insert(out.end(), of_batch.begin(), of_batch.end());
    }
    return out;
  }
  std::string data() const { return (dir_ / "a") + "=1," + (dir_ / "b") + "=3"; }
  TempDir dir_;
};

TEST_F(MixedLoader, GivesTheSamplersSamples) {
  const Samples mixed = open_samples({.data = data()});
  EXPECT_EQ(mixed->count(), 42);
  Loader loader(mixed, {.batch = 16, .seed = 5, .threads = 2});
  const auto found = ids(loader, 100);
  const Sampler sampler({.parts = {{30, 1}, {12, 3}}, .seed = 5});
  for (std::size_t at = 0; at < found.size(); ++at) {
    const std::int64_t sample = sampler.at(at);
    ASSERT_EQ(found[at], sample < 30 ? sample : sample - 30);
  }
  Loader part(mixed, {.batch = 16, .part = 1, .parts = 2, .seed = 5, .threads = 0, .start = 32});
  EXPECT_EQ(ids(part, 1), std::vector<std::int64_t>(found.begin() + 40, found.begin() + 48));
}

TEST_F(MixedLoader, EvaluationSeesEverySampleOnce) {
  Loader loader(open_samples({.data = data()}), {.batch = 8, .pass = Pass::evaluate, .threads = 1});
  std::int64_t seen = 0;
  std::vector<std::int64_t> all;
  while (!loader.finished()) {
    const Batch batch = loader.next();
    for (std::size_t row = 0; row < 8; ++row) {
      if (batch.weight().span<float>()[row] == 0) continue;
      ++seen;
      all.push_back(batch.field("id").span<std::int64_t>()[row]);
    }
  }
  EXPECT_EQ(seen, 42);
  std::vector<std::int64_t> want(30);
  std::iota(want.begin(), want.end(), 0);
  for (std::int64_t id = 0; id < 12; ++id) want.push_back(id);
  EXPECT_EQ(all, want);
}

TEST_F(MixedLoader, PartsOfSourcesMayBeMixed) {
  const TrainValidation a(open_samples({.data = dir_ / "a"}), 0.5, 1);
  const Samples mixed = mix({{a.train, 1}, {open_samples({.data = dir_ / "b"}), 1}});
  EXPECT_EQ(mixed->count(), 27);
  Loader held(a.validation, {.batch = 1, .pass = Pass::evaluate, .threads = 0, .fields = {"id"}});
  std::set<std::int64_t> validation;
  while (!held.finished()) validation.insert(held.next().field("id").span<std::int64_t>()[0]);
  Loader loader(mixed, {.batch = 1, .pass = Pass::evaluate, .threads = 0});
  for (int i = 0; i < 15; ++i) EXPECT_FALSE(validation.contains(ids(loader, 1).front())) << "the part for training";
  expect_error(ExitCode::usage, {"another mix"}, [&] { mix({{mixed, 1}, {a.train, 1}}); });
  EXPECT_NE(mixed->fingerprint(), mix({{a.train, 2}, {a.validation, 1}})->fingerprint());
}

TEST_F(MixedLoader, EachSourceOfAMixIsDivided) {
  const Samples all = open_samples({.data = data()});
  const TrainValidation parts(all, 0.25, 3);
  EXPECT_EQ(parts.validation->count(), 7 + 3);
  EXPECT_EQ(parts.train->count(), 23 + 9);
  EXPECT_EQ(parts.train->class_names(), ten_classes());
  const auto shares = parts.train->parts();
  ASSERT_EQ(shares.size(), 2U);
  EXPECT_EQ(shares[1].weight, 3);
  const auto of = [](const Samples& samples) {
    std::multiset<std::int64_t> out;
    Loader loader(samples, {.batch = 1, .pass = Pass::evaluate, .threads = 0});
    while (!loader.finished()) out.merge(std::multiset<std::int64_t>{ids(loader, 1).front()});
    return out;
  };
  std::multiset<std::int64_t> together = of(parts.train);
  together.merge(of(parts.validation));
  EXPECT_EQ(together, of(all)) << "every sample is in one of the two parts";
}

TEST_F(MixedLoader, WhatDiffersIsNamed) {
  const auto refused = [&](const std::vector<std::string>& words) {
    expect_error(ExitCode::usage, words, [&] { open_samples({.data = (dir_ / "a") + "=1," + (dir_ / "other=1")}); });
  };
  write_small(dir_ / "other", {.image = {5, 7, 1}});
  refused({"cannot be mixed", "/a'", "/other'", "image is u8 (5, 6, 1) and u8 (5, 7, 1)"});
  SmallDataset changed{.existing = Existing::replace};
  changed.classes[3] = "dog";
  write_small(dir_ / "other", changed);
  refused({"/other'", "class 3 is 'd' and 'dog'"});
  changed.classes.pop_back();
  write_small(dir_ / "other", changed);
  refused({"10 and 9 classes"});
  DatasetWriter writer({.folder = dir_ / "other",
                        .fields = {{"image", DType::u8, {5, 6, 1}}, {"mask", DType::u8, {}}, {"id", DType::i64, {}}},
                        .existing = Existing::replace});
  writer.begin_split("train", 1);
  const Bytes zeros(30);
  const FieldBlock blocks[] = {{zeros.data()}, {zeros.data()}, {zeros.data()}};
  writer.append(1, blocks);
  writer.finish({{"importer", "test"}, {"date", utc_now()}});
  refused({"label is only in the first", "mask is only in the second"});
}

TEST_F(MixedLoader, FieldsStandInOneOrder) {
  DatasetWriter writer({.folder = dir_ / "other",
                        .fields = {{"label", DType::i32, {}}, {"image", DType::u8, {5, 6, 1}}, {"id", DType::i64, {}}},
                        .class_names = ten_classes()});
  writer.begin_split("train", 1);
  const Bytes zeros(30);
  const FieldBlock blocks[] = {{zeros.data()}, {zeros.data()}, {zeros.data()}};
  writer.append(1, blocks);
  writer.finish({{"importer", "test"}, {"date", utc_now()}});
  expect_error(ExitCode::usage, {"/a'", "/other'", "another order"},
               [&] { open_samples({.data = (dir_ / "a") + "=1," + (dir_ / "other=1")}); });
}

TEST_F(MixedLoader, BadWeightsAreNamed) {
  for (const char* bad : {"a=0", "a=-1", "a=x", "a=", "a=1,b"}) {
    const std::string text = bad;
    expect_error(ExitCode::usage, {"DIR=WEIGHT"}, [&] { open_samples({.data = dir_ / text}); });
  }
}

}  // namespace
}  // namespace trireme
