// Batches in the memory of a device: the same ones as in host memory, at fixed addresses, one ahead without being
// counted before their time; failures arrive in their place.
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "datasets/loader.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/devices.hpp"

namespace trireme {
namespace {

constexpr std::int64_t rows = 53;

class DeviceFeedTest : public test::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped()) write_small(folder_, {.rows = rows, .shard_rows = 20});
  }
  Samples view() const { return open_small(folder_); }
  TempDir dir_;
  std::string folder_ = dir_ / "small";
};
TRIREME_FOR_EACH_DEVICE(DeviceFeedTest);

/// Everything one batch holds.
struct Copy {
  std::vector<std::int64_t> ids;
  std::vector<std::uint8_t> images;
  std::vector<float> weights;
  std::uint64_t first = 0, first_row = 0;
  friend bool operator==(const Copy&, const Copy&) = default;
};

Copy copy_of(const Batch& batch) {
  return {batch.field("id").to_vector<std::int64_t>(), batch.field("image").to_vector<std::uint8_t>(),
          batch.weight().to_vector<float>(), batch.first_position(), batch.first_row_position()};
}

TEST_P(DeviceFeedTest, TheStreamIsThatOfTheHost) {
  const Stream stream(device());
  LoaderOptions options{.batch = 9, .part = 1, .parts = 2, .seed = 5, .threads = 2};
  Loader on_host(view(), options);
  std::vector<Copy> want;
  for (int k = 0; k < 40; ++k) want.push_back(copy_of(on_host.next()));
  options.stream = &stream;
  for (const int threads : {0, 1, 3}) {
    options.threads = threads;
    Loader loader(view(), options);
    std::set<const void*> places;
    for (std::size_t k = 0; k < want.size(); ++k) {
      EXPECT_EQ(loader.position(), k * 9) << "a batch on its way was counted, " << threads << " threads";
      const Batch batch = loader.next();
      EXPECT_EQ(batch.field("image").device(), device());
      places.insert(batch.field("image").raw());
      ASSERT_EQ(copy_of(batch), want[k]) << "batch " << k << ", " << threads << " threads";
    }
    EXPECT_EQ(places.size(), 1U);
  }
}

TEST_P(DeviceFeedTest, AnEvaluationEndsAfterItsLastBatch) {
  const Stream stream(device());
  for (const int threads : {0, 2}) {
    Loader loader(view(), {.batch = 10, .pass = Pass::evaluate, .threads = threads, .stream = &stream});
    std::map<std::int64_t, float> weight_of;
    int calls = 0;
    for (; !loader.finished(); ++calls) {
      const Copy batch = copy_of(loader.next());
      for (std::size_t i = 0; i < batch.ids.size(); ++i)
        if (batch.weights[i] != 0) weight_of[batch.ids[i]] += batch.weights[i];
    }
    EXPECT_EQ(calls, 6);
    EXPECT_EQ(std::ssize(weight_of), rows);
    EXPECT_THROW(loader.next(), Error);
  }
}

TEST_P(DeviceFeedTest, OneBatchIsHeldAtATimeAndMayOutliveTheLoader) {
  const Stream stream(device());
  std::optional<Batch> kept;
  Copy content;
  {
    Loader loader(view(), {.batch = 4, .threads = 2, .stream = &stream});
    kept.emplace(loader.next());
    content = copy_of(*kept);
    expect_error(ExitCode::failure, {"held"}, [&] { loader.next(); });
  }
  EXPECT_EQ(copy_of(*kept), content);
}

TEST_P(DeviceFeedTest, AFailureArrivesInItsPlaceAndStays) {
  const Stream stream(device());
  const Sampler sampler(rows, 1);
  std::uint64_t bad_batch = 0;
  while (sampler.at(bad_batch) != 31) ++bad_batch;
  bad_batch /= 5;
  for (const int threads : {0, 1, 4}) {
    const TransformList list = {std::make_shared<Refuse>(pixel_of(31, 0))};
    Loader loader(view(),
                  {.batch = 5, .seed = 1, .threads = threads, .transforms = {{"image", list}}, .stream = &stream});
    for (std::uint64_t b = 0; b < bad_batch; ++b) EXPECT_EQ(loader.next().first_position(), b * 5);
    for (int again = 0; again < 3; ++again) expect_error(ExitCode::numeric, {"refused"}, [&] { loader.next(); });
  }
}

TEST_P(DeviceFeedTest, StopsAtAnyMoment) {
  const Stream stream(device());
  for (int round = 0; round < 40; ++round) {
    Loader loader(view(), {.batch = 16, .threads = 1 + round % 4, .depth = 1 + round % 5, .stream = &stream});
    for (int i = 0; i < round % 7; ++i) loader.next();
  }
}

}  // namespace
}  // namespace trireme
