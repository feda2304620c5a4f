// Sums over the ranks, from 4 KiB to 256 MiB: a tensor in the node window, an ordinary tensor, and MPI_Allreduce, in
// turns in one process, back to back (as benchmarks of collectives do) and cold (each call after those of the other
// ways have filled the caches). Start under mpirun: mpirun -n 2 --bind-to core all_reduce_bench
//   all_reduce_bench BYTES BUCKET   only the time to sum BYTES in buckets of BUCKET bytes, as training sends them
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "comm/mpi.hpp"
#include "comm/node_communicator.hpp"
#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/tensor/tensor.hpp"
#include "tests/bench/bench.hpp"
#include "tests/bench/mpi_peer.hpp"

namespace trireme::bench {
namespace {

constexpr std::int64_t smallest = 4 << 10, largest = 256 << 20;

std::string size_text(std::int64_t bytes) {
  return bytes >= (1 << 20) ? fmt::format("{} MiB", bytes >> 20) : fmt::format("{} KiB", bytes >> 10);
}

/// Enough repetitions to see through the noise of a shared machine, within about a second per size and way.
int repetitions(std::int64_t bytes) { return bytes <= (1 << 20) ? 301 : bytes <= (16 << 20) ? 41 : 11; }

/// Seconds on the slowest rank of one call: an operation is over when every rank has its result.
Samples slowest(Communicator& comm, const std::vector<double>& mine) {
  return Samples::of(comm.all_reduce_values(mine, Reduction::max));
}

struct Way {
  std::string name;
  std::function<void()> sum;
  std::vector<double> seconds = {};
};

/// How often each way is called: in rounds of some calls in a row, the first of which is not counted where there are
/// more. The ways take turns by rounds, so that whatever else the machine does meets all of them.
struct Plan {
  int rounds = 5, calls = 1;
};

void one_round(Way& way, int calls) {
  for (int i = 0; i < calls; ++i) {
    mpi_barrier();
    const double start = now();
    way.sum();
    if (i > 0 || calls == 1) way.seconds.push_back(now() - start);
  }
}

void measure(Communicator& comm, std::vector<Way>& ways, const Plan& plan) {
  for (Way& way : ways) way.sum();
  for (int round = 0; round < plan.rounds; ++round) {
    for (Way& way : ways) one_round(way, plan.calls);
  }
  for (Way& way : ways) {
    const Samples result = slowest(comm, std::exchange(way.seconds, {}));
    if (comm.rank() == 0) report(fmt::format("all_reduce {}{}", way.name, plan.calls == 1 ? " cold" : ""), "s", result);
  }
}

/// Small values that stay exact however often they are summed and halved.
void fill(const Tensor& values, int rank) {
  for (float& value : values.span<float>()) value = static_cast<float>(rank);
}

void check(const Tensor& values, float wanted, const std::string& way) {
  for (const float value : values.span<float>())
    require(value == wanted, "{} gave {} where {} was wanted", way, value, wanted);
}

/// Every way must give the right sum before its speed means anything.
void check_ways(std::vector<Way>& ways, const std::vector<Tensor>& tensors, Communicator& comm) {
  const auto wanted = static_cast<float>(comm.size() * (comm.size() - 1)) / 2;
  for (std::size_t k = 0; k < ways.size(); ++k) {
    fill(tensors[k], comm.rank());
    ways[k].sum();
    check(tensors[k], wanted, ways[k].name);
    fill(tensors[k], 0);  // sums of zero stay zero: repeated sums never overflow
  }
}

void compare(Communicator& comm) {
  const auto window = comm.shared_allocator(to_size(largest));
  const Tensor resident(window->allocate(to_size(largest)), 0, {largest / 4}, DType::f32);
  const Tensor ordinary = Tensor::zeros({largest / 4}, DType::f32), peer = Tensor::zeros({largest / 4}, DType::f32);
  resident.fill_zero();
  for (std::int64_t bytes = smallest; bytes <= largest; bytes *= 4) {
    const std::int64_t count = bytes / 4;
    const std::vector<Tensor> tensors{resident.slice(0, count), ordinary.slice(0, count), peer.slice(0, count)};
    const auto name = [&](const char* way) { return fmt::format("{} {}", way, size_text(bytes)); };
    std::vector<Way> ways{{name("window"), [&] { comm.all_reduce(tensors[0]).wait(); }},
                          {name("ordinary"), [&] { comm.all_reduce(tensors[1]).wait(); }},
                          {name("MPI"), [&] { mpi_all_reduce(tensors[2].data<float>(), to_size(count)); }}};
    check_ways(ways, tensors, comm);
    const int times = repetitions(bytes);
    measure(comm, ways, {.rounds = 5, .calls = times / 5 + 1});
    measure(comm, ways, {.rounds = times / 2});
  }
}

/// What a step's gradients cost when nothing is computed meanwhile.
void in_buckets(Communicator& comm, std::int64_t bytes, std::int64_t bucket) {
  const auto memory = comm.shared_allocator(to_size(bytes));
  const Tensor gradients(memory->allocate(to_size(bytes)), 0, {bytes / 4}, DType::f32);
  gradients.fill_zero();
  const auto sum_all = [&] {
    std::vector<Event> under_way;
    for (std::int64_t first = 0; first < bytes / 4; first += bucket / 4)
      under_way.push_back(comm.all_reduce(gradients.slice(first, std::min(bucket / 4, bytes / 4 - first))));
    for (const Event& event : under_way) event.wait();
  };
  const Tensor peer = Tensor::zeros({bytes / 4}, DType::f32);
  std::vector<Way> ways{{"in buckets", sum_all},
                        {"by MPI", [&] { mpi_all_reduce(peer.data<float>(), to_size(bytes / 4)); }}};
  measure(comm, ways, {.rounds = 3, .calls = 11});
}

int run(int argc, char** argv) {
  MpiRuntime runtime;
  try {
    const auto comm = with_node_window(runtime.world());
    if (argc == 3) {
      in_buckets(*comm, std::atoll(argv[1]) / 4 * 4, std::max<std::int64_t>(std::atoll(argv[2]) / 4 * 4, 4));
    } else {
      compare(*comm);
    }
  } catch (const std::exception& error) {
    runtime.abort(ExitCode::failure, error.what());
  }
  runtime.close();
  return 0;
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) { return trireme::bench::run(argc, argv); }
