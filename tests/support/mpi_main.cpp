// The main of `tests_ranks`: GoogleTest under mpirun, the same tests in the same order on all ranks. With
// `--scenario=NAME` it plays a job that goes wrong instead, for tests that look at it from outside (comm/job_test.cpp).
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "comm/agreement.hpp"
#include "comm/node_communicator.hpp"
#include "core/base/log.hpp"
#include "tests/comm/world.hpp"

namespace trireme::test {
namespace {

MpiRuntime* the_runtime = nullptr;

std::string option(int argc, char** argv, const std::string& name) {
  const auto prefix = "--" + name + "=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument(argv[i]);
    if (argument.starts_with(prefix)) return argument.substr(prefix.size());
  }
  return {};
}

/// Waits in an all_reduce that the last rank never joins.
void wait_for_last(Communicator& comm, const std::function<void()>& last_rank) {
  comm.barrier().wait();
  if (comm.rank() == comm.size() - 1) last_rank();
  const auto values = Tensor::zeros({1 << 20}, DType::f32);
  comm.all_reduce(values).wait();
}

void reduce_and_report(Communicator& comm) {
  const auto values = Tensor::from(std::vector<float>(100000, static_cast<float>(comm.rank() + 1)), {100000});
  comm.all_reduce(values).wait();
  if (comm.rank() == 0) log::info("the sum is {}", values.to_vector<float>().back());
}

int play(const std::string& scenario, const std::string& value) {
  const auto node = with_node_window(world());
  const std::map<std::string, std::function<void()>> scenarios{
      {"throw", [&] { wait_for_last(*world(), [] { fail(ExitCode::numeric, "the loss is not finite"); }); }},
      {"throw-node", [&] { wait_for_last(*node, [] { fail(ExitCode::numeric, "the loss is not finite"); }); }},
      {"kill", [&] { wait_for_last(*world(), [] { ::kill(::getpid(), SIGKILL); }); }},
      {"kill-node", [&] { wait_for_last(*node, [] { ::kill(::getpid(), SIGKILL); }); }},
      {"agree",
       [&] {
         check_agreement(*world(), {{"batch", value}, {"seed", "1"}});
       }},
      {"reduce", [&] { reduce_and_report(*node); }},
  };
  scenarios.at(scenario)();
  return 0;
}

int run(int argc, char** argv) {
  const auto scenario = option(argc, argv, "scenario");
  if (!scenario.empty()) {
    const char* value = std::getenv("TRIREME_TEST_OPTION");
    return play(scenario, value != nullptr ? value : option(argc, argv, "option"));
  }
  ::testing::InitGoogleTest(&argc, argv);
  // A rank that leaves a test early would leave the others waiting in a collective: it ends the job instead.
  ::testing::GTEST_FLAG(catch_exceptions) = false;
  if (world()->rank() != 0) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  const int failed = RUN_ALL_TESTS();
  const double mine = failed;
  return world()->all_reduce_values({&mine, 1}, Reduction::max).front() > 0 ? 1 : 0;
}

/// GoogleTest's own printer is silent on the other ranks; their failures must still be seen.
class FailurePrinter : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    log::error("rank {}: {}:{}: {}", world()->rank(), result.file_name() != nullptr ? result.file_name() : "?",
               result.line_number(), result.summary());
  }
};

}  // namespace

MpiRuntime& runtime() { return *the_runtime; }

}  // namespace trireme::test

int main(int argc, char** argv) {
  using namespace trireme;
  std::unique_ptr<MpiRuntime> runtime;
  try {
    runtime = std::make_unique<MpiRuntime>();
    test::the_runtime = runtime.get();
    if (runtime->world()->rank() != 0) {
      ::testing::UnitTest::GetInstance()->listeners().Append(new test::FailurePrinter);
    }
    const int status = test::run(argc, argv);
    runtime->close();
    return status;
  } catch (const Error& error) {
    if (runtime) runtime->abort(error.code(), error.what());
    log::error("{}", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    if (runtime) runtime->abort(ExitCode::failure, error.what());
    return 1;
  }
}
