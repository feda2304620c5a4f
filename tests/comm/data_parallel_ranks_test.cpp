// Gradients of real ranks, through shared memory, MPI and both.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "comm/agreement.hpp"
#include "comm/mesh.hpp"
#include "comm/node_communicator.hpp"
#include "comm/parallel/data_parallel.hpp"
#include "core/base/checked.hpp"
#include "tests/comm/listed_parameters.hpp"
#include "tests/comm/world.hpp"

namespace trireme {
namespace {

using test::contribute;
using test::Trained;

/// Three steps with random use, random orders and absent parameters; the plane must hold the sums after each.
void check_steps(const std::shared_ptr<Communicator>& comm, unsigned seed) {
  std::vector<std::int64_t> sizes;
  std::mt19937 shared(seed);
  for (int k = 0; k < 12; ++k) sizes.push_back(1 + static_cast<std::int64_t>(shared() % 60000));
  const auto memory = comm->shared_allocator(std::size_t{8} << 20);
  Trained net(sizes, DType::f32, *memory, {3});
  DataParallel parallel(comm, net.layout, net.planes.grad, {.bytes = 300000, .first_bytes = 50000});
  const auto used = [&](int step, int rank, std::size_t k) { return (static_cast<int>(k) + step * 3 + rank) % 3 != 0; };
  std::mt19937 mine(seed + static_cast<unsigned>(comm->rank()));
  for (int step = 0; step < 3; ++step) {
    parallel.begin();
    parallel.send();
    std::vector<std::size_t> order{0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11};
    std::shuffle(order.begin(), order.end(), mine);
    for (const auto k : order) {
      if (!used(step, comm->rank(), k)) continue;
      contribute(parallel, net.module[k], comm->rank() + 1);
      parallel.ready(net.module[k]);
    }
    parallel.flush();
    for (const auto k : order) {
      float want = 0;
      for (int r = 0; r < comm->size(); ++r) want += used(step, r, k) ? static_cast<float>(r + 1) : 0.0f;
      const auto got = parallel.gradient(to_size(net.module[k].index())).to_vector<float>();
      EXPECT_EQ(std::count(got.begin(), got.end(), want), static_cast<std::ptrdiff_t>(got.size()))
          << "seed " << seed << " step " << step << " parameter " << k;
    }
    check_same(*comm, net.planes.grad, "the gradients");
  }
}

TEST(DataParallelRanks, SumsThroughMpi) { check_steps(test::world(), 1); }

TEST(DataParallelRanks, SumsThroughSharedMemory) { check_steps(with_node_window(test::world()), 2); }

TEST(DataParallelRanks, SumsOverTwoHosts) {
  check_steps(with_node_window(test::world(), {.host = test::world()->rank() % 2 == 0 ? "even" : "odd"}), 3);
}

TEST(MeshRanks, AxesAreCommunicatorsOfTheRightRanks) {
  const auto world = with_node_window(test::world());
  const int tensor = world->size() % 2 == 0 ? 2 : 1;
  const Mesh mesh(world, {.tensor = tensor});
  EXPECT_EQ(mesh.axis("tensor").size(), tensor);
  EXPECT_EQ(mesh.axis("data").size(), world->size() / tensor);
  for (const auto name : MeshShape::names) {
    auto& axis = mesh.axis(name);
    EXPECT_EQ(axis.rank(), mesh.coordinate(name)) << name;
    const double mine = world->rank();
    double want = 0;
    for (int r = 0; r < world->size(); ++r) {
      if (mesh.shape().group(r, name) == mesh.shape().group(world->rank(), name)) want += r;
    }
    EXPECT_EQ(axis.all_reduce_values({&mine, 1}).front(), want) << name;
  }
}

TEST(AgreementRanks, AgreeAndDisagree) {
  auto& world = *test::world();
  check_agreement(world, {{"batch", "64"}});
  if (world.size() == 1) return;
  EXPECT_THROW(check_agreement(world, {{"batch", world.rank() == 0 ? "64" : "32"}}), Error);
  const auto plane = Tensor::zeros({10}, DType::f32);
  plane.span<float>()[9] = world.rank() == 1 ? 1.0f : 0.0f;
  EXPECT_THROW(check_same(world, plane, "the parameters"), Error);
}

}  // namespace
}  // namespace trireme
