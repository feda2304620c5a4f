// The loader: what it delivers depends on the options and the position only, never on threads or parts; it stops and
// fails cleanly. No OpenMP and nothing outside this process, so that ThreadSanitizer can judge it.
#include "datasets/loader.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

class LoaderTest : public testing::Test {
 protected:
  static constexpr std::int64_t rows = 53;
  void SetUp() override { write_small(folder_, {.rows = rows, .shard_rows = 20}); }
  Samples view() const { return open_small(folder_); }
  TempDir dir_;
  std::string folder_ = dir_ / "small";
};

TransformList augmentation() { return {random_crop({2, 0, 0}), random_horizontal_flip(), normalise({})}; }

/// Everything one batch holds.
struct BatchCopy {
  std::vector<std::int64_t> ids;
  std::vector<std::int32_t> labels;
  std::vector<float> images, weights;
  std::uint64_t first = 0;
  friend bool operator==(const BatchCopy&, const BatchCopy&) = default;
};

BatchCopy batch_copy(const Batch& batch) {
  return {batch.field("id").to_vector<std::int64_t>(), batch.field("label").to_vector<std::int32_t>(),
          batch.field("image").to_vector<float>(), batch.weight().to_vector<float>(), batch.first_position()};
}

LoaderOptions with_images(LoaderOptions options) {
  options.transforms = {{"image", augmentation()}};
  return options;
}

std::vector<BatchCopy> take(Loader& loader, int count) {
  std::vector<BatchCopy> out;
  for (int i = 0; i < count; ++i) out.push_back(batch_copy(loader.next()));
  return out;
}

TEST_F(LoaderTest, DeliversTheSamplersSamplesWithTheirContent) {
  Loader loader(view(), {.batch = 8, .seed = 3, .threads = 2});
  const Sampler sampler(rows, 3);
  for (std::uint64_t b = 0; b < 30; ++b) {
    EXPECT_EQ(loader.position(), b * 8);
    const Batch batch = loader.next();
    ASSERT_EQ(batch.field("image").shape(), (Shape{8, 5, 6, 1}));
    ASSERT_EQ(batch.field("label").shape(), (Shape{8}));
    EXPECT_EQ(batch.first_position(), b * 8);
    const auto ids = batch.field("id").span<std::int64_t>();
    const auto pixels = batch.field("image").span<std::uint8_t>();
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(ids[i], sampler.at(b * 8 + i));
      EXPECT_EQ(batch.field("label").span<std::int32_t>()[i], label_of(ids[i]));
      for (std::size_t k = 0; k < 30; ++k)
        ASSERT_EQ(pixels[i * 30 + k], pixel_of(ids[i], static_cast<std::int64_t>(k)));
    }
  }
}

TEST_F(LoaderTest, TheStreamIsTheSameForAnyNumberOfThreads) {
  Loader alone(view(), with_images({.batch = 9, .seed = 1, .threads = 0}));
  const auto want = take(alone, 40);
  for (const int threads : {1, 4}) {
    for (const int depth : {1, 3, 16}) {
      Loader loader(view(), with_images({.batch = 9, .seed = 1, .threads = threads, .depth = depth}));
      EXPECT_EQ(take(loader, 40), want) << threads << " threads, depth " << depth;
    }
  }
}

TEST_F(LoaderTest, ThePartsTogetherAreTheWhole) {
  const std::int64_t batch = 10;
  Loader whole(view(), with_images({.batch = batch, .seed = 6, .threads = 1}));
  const auto want = take(whole, 20);
  for (int parts = 2; parts <= 7; ++parts) {
    std::vector<BatchCopy> merged(20);
    for (int part = 0; part < parts; ++part) {
      Loader loader(view(),
                    with_images({.batch = batch, .part = part, .parts = parts, .seed = 6, .threads = part % 3}));
      const auto mine = take(loader, 20);
      for (std::size_t b = 0; b < 20; ++b) {
        merged[b].first = mine[b].first;
        merged[b].ids.insert(merged[b].ids.end(), mine[b].ids.begin(), mine[b].ids.end());
        merged[b].labels.insert(merged[b].labels.end(), mine[b].labels.begin(), mine[b].labels.end());
        merged[b].images.insert(merged[b].images.end(), mine[b].images.begin(), mine[b].images.end());
        merged[b].weights.insert(merged[b].weights.end(), mine[b].weights.begin(), mine[b].weights.end());
      }
    }
    EXPECT_EQ(merged, want) << parts << " parts";
  }
}

TEST_F(LoaderTest, ResumesAtAnyPosition) {
  Loader whole(view(), with_images({.batch = 7, .seed = 2, .threads = 2}));
  const auto want = take(whole, 30);
  for (const int done : {1, 7, 8, 29}) {
    Loader first(view(), with_images({.batch = 7, .seed = 2, .threads = 3}));
    take(first, done);
    Loader rest(view(), with_images({.batch = 7, .seed = 2, .threads = 1, .start = first.position()}));
    EXPECT_EQ(take(rest, 30 - done), std::vector<BatchCopy>(want.begin() + done, want.end())) << done;
  }
}

TEST_F(LoaderTest, EverySampleOfAnEpochOnceWhateverChangesInBetween) {
  std::vector<int> seen(rows, 0);
  std::uint64_t position = 0;
  const std::pair<std::int64_t, int> stages[] = {{8, 1}, {6, 4}, {11, 3}, {5, 5}};  // batch, parts
  for (int stage = 0; position < 4 * rows; ++stage) {
    const auto [batch, parts] = stages[stage % 4];
    for (int part = 0; part < parts; ++part) {
      Loader loader(
          view(),
          {.batch = batch, .part = part, .parts = parts, .seed = 8, .threads = 1, .start = position, .fields = {"id"}});
      for (int b = 0; b < 3; ++b) {
        const Batch got = loader.next();
        for (std::int64_t i = 0; i < got.rows(); ++i) {
          if (got.first_row_position() + static_cast<std::uint64_t>(i) < 4 * rows)
            ++seen[to_size(got.field("id").span<std::int64_t>()[to_size(i)])];
        }
      }
    }
    position += static_cast<std::uint64_t>(3 * batch);
  }
  for (const int times : seen) EXPECT_EQ(times, 4);
}

TEST_F(LoaderTest, EvaluationSeesEverySampleOnceWithEqualShapes) {
  for (int parts = 1; parts <= 7; ++parts) {
    std::map<std::int64_t, float> weight_of;
    std::set<int> calls;
    for (int part = 0; part < parts; ++part) {
      Loader loader(view(), {.batch = 10, .part = part, .parts = parts, .pass = Pass::evaluate, .threads = part % 2});
      int count = 0;
      for (; !loader.finished(); ++count) {
        const Batch batch = loader.next();
        EXPECT_EQ(batch.rows(), ceil_div(10, parts));
        for (std::size_t i = 0; i < to_size(batch.rows()); ++i) {
          const float weight = batch.weight().span<float>()[i];
          EXPECT_TRUE(weight == 0 || weight == 1);
          weight_of[batch.field("id").span<std::int64_t>()[i]] += weight;
        }
      }
      EXPECT_EQ(count, loader.batches_per_epoch());
      calls.insert(count);
      EXPECT_THROW(loader.next(), Error);
    }
    EXPECT_EQ(calls.size(), 1U) << "all parts make equally many calls";
    EXPECT_EQ(std::ssize(weight_of), rows);
    for (const auto& [id, weight] : weight_of) EXPECT_EQ(weight, 1) << id;
  }
}

TEST_F(LoaderTest, TrainAndValidationShareNothing) {
  const TrainValidation divided(view(), 0.2, 4);
  EXPECT_EQ(divided.validation->count(), 10);
  std::set<std::int64_t> seen;
  for (const Samples& part : {divided.train, divided.validation}) {
    Loader loader(part, {.batch = 1, .pass = Pass::evaluate, .threads = 1, .fields = {"id"}});
    while (!loader.finished()) EXPECT_TRUE(seen.insert(loader.next().field("id").span<std::int64_t>()[0]).second);
  }
  EXPECT_EQ(std::ssize(seen), rows);
  std::vector<std::int64_t> first(10), same(10), other(10);
  std::iota(first.begin(), first.end(), 0);
  same = other = first;
  divided.validation->resolve(first);
  TrainValidation(view(), 0.2, 4).validation->resolve(same);
  TrainValidation(view(), 0.2, 5).validation->resolve(other);
  EXPECT_EQ(first, same);
  EXPECT_NE(first, other);
  EXPECT_EQ(TrainValidation(view(), 0, 4).train->count(), rows);
  expect_error(ExitCode::usage, {"1.5"}, [&] { TrainValidation(view(), 1.5, 1); });
  expect_error(ExitCode::usage, {"empty"}, [&] { TrainValidation(view(), 0.001, 1); });
}

TEST_F(LoaderTest, StopsAtAnyMoment) {
  for (int round = 0; round < 60; ++round) {
    Loader loader(view(), with_images({.batch = 16, .seed = 1, .threads = 1 + round % 4, .depth = 1 + round % 5}));
    for (int i = 0; i < round % 7; ++i) loader.next();
  }
}

TEST_F(LoaderTest, ABatchOutlivesItsLoader) {
  std::optional<Batch> kept;
  BatchCopy content;
  {
    Loader loader(view(), with_images({.batch = 4, .threads = 2}));
    kept.emplace(loader.next());
    content = batch_copy(*kept);
  }
  EXPECT_EQ(batch_copy(*kept), content);
}

TEST_F(LoaderTest, HeldBatchesKeepTheirContentAndAreLimited) {
  for (const int threads : {0, 2}) {
    Loader loader(view(), with_images({.batch = 4, .threads = threads, .depth = 2, .held = 2}));
    const Batch first = loader.next();
    const BatchCopy content = batch_copy(first);
    for (int i = 0; i < 20; ++i) loader.next();
    EXPECT_EQ(batch_copy(first), content);
    const Batch second = loader.next();
    expect_error(ExitCode::failure, {"2 batches", "held"}, [&] { loader.next(); });
  }
}

TEST_F(LoaderTest, MemoryIsReused) {
  Loader loader(view(), {.batch = 4, .threads = 2, .depth = 3, .held = 2});
  std::set<const void*> places;
  for (int i = 0; i < 100; ++i) places.insert(loader.next().field("image").raw());
  EXPECT_LE(places.size(), 5U);
}

TEST_F(LoaderTest, AFailureArrivesInItsPlaceAndStays) {
  const Sampler sampler(rows, 1);
  std::uint64_t bad_batch = 0;
  while (sampler.at(bad_batch) != 31) ++bad_batch;
  bad_batch /= 5;
  for (const int threads : {0, 1, 4}) {
    const TransformList list = {std::make_shared<Refuse>(pixel_of(31, 0))};
    Loader loader(view(), {.batch = 5, .seed = 1, .threads = threads, .transforms = {{"image", list}}});
    for (std::uint64_t b = 0; b < bad_batch; ++b) EXPECT_EQ(loader.next().first_position(), b * 5);
    for (int again = 0; again < 3; ++again) expect_error(ExitCode::numeric, {"refused"}, [&] { loader.next(); });
  }
}

/// Counts the threads inside it and waits until told.
class Gate final : public Transform {
 public:
  RowType output(const RowType& in) const override { return in; }
  void apply(const TransformInput& in, std::byte* out) const override {
    std::memcpy(out, in.data, in.type.bytes());
    open.wait(false);
    calls.fetch_add(1);
  }
  mutable std::atomic<bool> open{false};
  mutable std::atomic<int> calls{0};
};

TEST_F(LoaderTest, WaitingIsMeasured) {
  const auto gate = std::make_shared<Gate>();
  Loader loader(view(), {.batch = 1, .threads = 1, .depth = 1, .transforms = {{"image", {gate}}}});
  std::jthread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    gate->open = true;
    gate->open.notify_all();
  });
  const auto begin = std::chrono::steady_clock::now();
  loader.next();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(loader.waited_seconds(), 0);
  EXPECT_LE(loader.waited_seconds(), took.count());
}

TEST_F(LoaderTest, OptionsThatCannotWorkAreNamed) {
  const auto refused = [&](LoaderOptions options, const std::vector<std::string>& words) {
    expect_error(ExitCode::usage, words, [&] { Loader loader(view(), options); });
  };
  refused({.batch = 0}, {"batch = 0"});
  refused({.batch = 3, .parts = 4}, {"batch of 3", "4"});
  refused({.batch = 3, .depth = 0}, {"depth"});
  refused({.batch = 3, .fields = {"picture"}}, {"picture", "image, label, id"});
  refused({.batch = 3, .transforms = {{"picture", {}}}}, {"picture"});
  refused({.batch = 3, .transforms = {{"label", {random_horizontal_flip()}}}}, {"(H, W, C)"});
  Loader loader(view(), {.batch = 3, .fields = {"id"}});
  expect_error(ExitCode::usage, {"label", "it loads: id"}, [&] { loader.next().field("label"); });
  const TrainValidation all(view(), 0, 1);
  expect_error(ExitCode::corrupt_input, {"empty"}, [&] { Loader none(all.validation, {.batch = 1}); });
}

}  // namespace
}  // namespace trireme
