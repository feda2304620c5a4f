// Which gradients leave when, and that no order of completion makes ranks differ in what they send.
#include "comm/parallel/buckets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "comm/parallel/data_parallel.hpp"
#include "comm/self_communicator.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "tests/comm/fake_ranks.hpp"
#include "tests/comm/listed_parameters.hpp"

namespace trireme {
namespace {

using test::contribute;
using test::Trained;

Allocator& memory() { return system_allocator(Device::cpu()); }

std::vector<std::int64_t> random_sizes(std::mt19937& random) {
  std::vector<std::int64_t> sizes(1 + random() % 20);
  for (auto& n : sizes) n = 1 + static_cast<std::int64_t>(random() % 300);
  return sizes;
}

TEST(BucketPlan, CoversAllTrainedElementsOnceFromTheEnd) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    const Trained net(random_sizes(random), DType::f32, memory());
    const BucketOptions options{.bytes = 1 + random() % 4000, .first_bytes = 1 + random() % 500};
    const auto plan = plan_buckets(net.layout, options);
    std::int64_t end = net.layout.trained_elements();
    std::size_t entry = net.layout.trained();
    for (std::size_t b = 0; b < plan.size(); ++b) {
      const auto bytes = to_size(plan[b].count) * 4;
      EXPECT_EQ(plan[b].first + plan[b].count, end);
      EXPECT_EQ(plan[b].first_entry + plan[b].entries, entry);
      EXPECT_TRUE(bytes >= (b == 0 ? options.first_bytes : options.bytes) || b + 1 == plan.size());
      end = plan[b].first;
      entry = plan[b].first_entry;
    }
    EXPECT_EQ(end, 0);
    EXPECT_EQ(entry, 0u);
  }
}

TEST(BucketPlan, FrozenParametersAreNotInIt) {
  const Trained net({100, 5000, 200}, DType::f32, memory(), {1});
  const auto plan = plan_buckets(net.layout, {.bytes = 1, .first_bytes = 1});
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_LT(plan[0].count + plan[1].count, 5000);
}

TEST(Buckets, AreSentInReverseOrderWhateverFillsFirst) {
  const auto hub = std::make_shared<test::Hub>(1);
  test::FakeCommunicator comm(hub, 0);
  const Trained net({10, 20, 30, 40}, DType::f32, memory());
  const auto plan = plan_buckets(net.layout, {.bytes = 1, .first_bytes = 1});
  ASSERT_EQ(plan.size(), 4u);
  Buckets buckets(comm, plan, net.planes.grad);
  buckets.fill(0);
  buckets.fill(1);
  EXPECT_TRUE(comm.counts.empty()) << "the last of the arena goes first";
  buckets.fill(3);
  EXPECT_EQ(buckets.sent(), 1u);
  EXPECT_TRUE(buckets.is_sent(3));
  EXPECT_FALSE(buckets.is_sent(2));
  buckets.fill(3);
  buckets.flush();
  ASSERT_EQ(comm.counts.size(), 4u) << "what never filled is sent by flush";
  for (std::size_t b = 0; b < 4; ++b) EXPECT_EQ(comm.counts[b], plan[b].count);
}

/// N ranks complete random subsets in random orders; all must end with the sums. Throws where they send differently.
void random_steps(unsigned seed, int ranks) {
  std::mt19937 shared(seed);
  const auto sizes = random_sizes(shared);
  const BucketOptions options{.bytes = 1 + shared() % 3000, .first_bytes = 1 + shared() % 800};
  // used[step][rank][parameter]: how often it is used in each of two micro-batches
  const auto uses = [&](int step, int rank, std::size_t k, int micro) {
    std::mt19937 random(seed * 1000003u +
                        static_cast<unsigned>(((step * 8 + rank) * 64 + static_cast<int>(k)) * 2 + micro));
    return static_cast<int>(random() % 3);
  };
  test::run_ranks(ranks, [&](const auto& comm) {
    Trained net(sizes, DType::f64, memory());
    DataParallel parallel(comm, net.layout, net.planes.grad, options);
    std::mt19937 mine(seed * 31 + static_cast<unsigned>(comm->rank()));
    for (int step = 0; step < 3; ++step) {
      parallel.begin();
      for (int micro = 0; micro < 2; ++micro) {
        if (micro == 1) parallel.send();
        std::vector<std::size_t> order(sizes.size());
        for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
        std::shuffle(order.begin(), order.end(), mine);
        for (const auto k : order) {
          const int times = uses(step, comm->rank(), k, micro);
          for (int t = 0; t < times; ++t) contribute(parallel, net.module[k], comm->rank() + 1);
          // A parameter that was not used may or may not be reported.
          if (times > 0 || mine() % 2 == 0) parallel.ready(net.module[k]);
        }
      }
      parallel.flush();
      for (std::size_t k = 0; k < sizes.size(); ++k) {
        double want = 0;
        for (int r = 0; r < comm->size(); ++r) {
          want += (r + 1) * (uses(step, r, k, 0) + uses(step, r, k, 1));
        }
        for (const double x : parallel.gradient(to_size(net.module[k].index())).template to_vector<double>()) {
          ASSERT_EQ(x, want) << "seed " << seed << " step " << step << " parameter " << k;
        }
      }
    }
  });
}

TEST(DataParallel, RanksMayTakeDifferentBranches) {
  for (unsigned seed = 1; seed <= 25; ++seed) random_steps(seed, 1 + static_cast<int>(seed % 4));
}

TEST(DataParallel, OnlyTheLastMicroBatchSends) {
  const auto hub = std::make_shared<test::Hub>(1);
  const auto comm = std::make_shared<test::FakeCommunicator>(hub, 0);
  Trained net({50, 50}, DType::f32, memory());
  DataParallel parallel(comm, net.layout, net.planes.grad, {.bytes = 1, .first_bytes = 1});
  const auto before = comm->counts.size();
  parallel.begin();
  for (int micro = 0; micro < 3; ++micro) {
    if (micro == 2) parallel.send();
    for (const std::size_t k : {std::size_t{1}, std::size_t{0}}) {
      contribute(parallel, net.module[k], 1);
      parallel.ready(net.module[k]);
    }
    EXPECT_EQ(comm->counts.size(), before + (micro == 2 ? 2u : 0u));
  }
  parallel.flush();
  EXPECT_EQ(parallel.gradient(0).to_vector<float>().front(), 3.0f);
  EXPECT_GE(parallel.timing().communication_seconds, 0.0);
}

TEST(DataParallel, MisuseIsNamed) {
  const auto comm = std::make_shared<SelfCommunicator>();
  Trained net({50}, DType::f32, memory());
  DataParallel parallel(comm, net.layout, net.planes.grad);
  EXPECT_THROW(parallel.flush(), Error);
  EXPECT_THROW(parallel.send(), Error);
  EXPECT_THROW(contribute(parallel, net.module[0], 1), Error);
  parallel.begin();
  parallel.send();
  contribute(parallel, net.module[0], 1);
  parallel.ready(net.module[0]);
  EXPECT_THROW(contribute(parallel, net.module[0], 1), Error) << "its bucket has left";
  parallel.flush();
}

TEST(DataParallel, DifferentNetworksAreNoticed) {
  test::run_ranks(3, [](const auto& comm) {
    Trained net({50, comm->rank() == 1 ? 21 : 20}, DType::f32, memory());
    try {
      DataParallel parallel(comm, net.layout, net.planes.grad);
      ADD_FAILURE() << "rank " << comm->rank() << " went on";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::disagree);
      EXPECT_NE(std::string(error.what()).find("rank 1"), std::string::npos) << error.what();
    }
  });
}

}  // namespace
}  // namespace trireme
