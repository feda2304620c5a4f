// The checked mode: ranks that make different calls are told so, with both calls, and can go on afterwards, as no call
// has run. Without it each of these would wait for ever or mix up data.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "comm/call_signature.hpp"
#include "comm/node_communicator.hpp"
#include "core/base/error.hpp"
#include "tests/comm/world.hpp"

namespace trireme {
namespace {

using Act = std::function<void(Communicator&)>;

struct Variant {
  const char* name;
  Act most;  // what the ranks but the last one do
  Act last;  // what the last one does
  std::vector<std::string> named;
};

Tensor f32(std::int64_t count) { return Tensor::zeros({count}, DType::f32); }

void sum(Communicator& comm) { comm.all_reduce(f32(8)).wait(); }
void barrier(Communicator& comm) { comm.barrier().wait(); }
void gather(Communicator& comm) { comm.all_gather(f32(2), f32(2 * comm.size())).wait(); }

std::vector<Variant> variants() {
  return {
      {"operation", sum, [](auto& c) { c.broadcast(f32(8), 0).wait(); }, {"all_reduce", "broadcast"}},
      {"count", sum, [](auto& c) { c.all_reduce(f32(9)).wait(); }, {"f32 x 8", "f32 x 9"}},
      {"type", sum, [](auto& c) { c.all_reduce(Tensor::zeros({8}, DType::f64)).wait(); }, {"f32 x 8", "f64 x 8"}},
      {"reduction", sum, [](auto& c) { c.all_reduce(f32(8), Reduction::max).wait(); }, {", sum)", ", max)"}},
      {"root of a broadcast",
       [](auto& c) { c.broadcast(f32(4), 0).wait(); },
       [](auto& c) { c.broadcast(f32(4), 1).wait(); },
       {"root 0", "root 1"}},
      {"root of a reduction",
       [](auto& c) { c.reduce_to(0, f32(4), f32(4)).wait(); },
       [](auto& c) { c.reduce_to(1, f32(4), f32(4)).wait(); },
       {"root 0", "root 1"}},
      {"order", [](auto& c) { sum(c), gather(c); }, [](auto& c) { gather(c), sum(c); }, {"all_reduce", "all_gather"}},
      {"a call left out",
       [](auto& c) { sum(c), gather(c), barrier(c); },
       [](auto& c) { sum(c), barrier(c); },
       {"all_gather", "barrier"}},
      {"a call too many",
       [](auto& c) { sum(c), barrier(c); },
       [](auto& c) { sum(c), gather(c), barrier(c); },
       {"all_gather", "barrier"}},
      {"piece of a gather",
       gather,
       [](auto& c) { c.all_gather(f32(3), f32(3 * c.size())).wait(); },
       {"f32 x 2", "f32 x 3"}},
      {"direction",
       [](auto& c) { c.reduce_scatter(f32(2 * c.size()), f32(2)).wait(); },
       gather,
       {"reduce_scatter", "all_gather"}},
      {"values for a barrier", barrier, sum, {"barrier", "all_reduce"}},
  };
}

class CheckedCalls : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    comm_ = test::world();
    if (comm_->size() == 1) GTEST_SKIP() << "skipped: one rank agrees with itself";
    if (std::string(GetParam()) == "node") comm_ = with_node_window(comm_);
    comm_->log().check_calls();
  }
  void TearDown() override { comm_->log().check_calls(CollectiveLog::Checks::off); }
  std::string complaint(const Variant& variant) const {
    try {
      (comm_->rank() + 1 == comm_->size() ? variant.last : variant.most)(*comm_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::disagree);
      return error.what();
    }
    return "";
  }
  std::shared_ptr<Communicator> comm_;
};

TEST_P(CheckedCalls, that_differ_are_named_on_all_ranks) {
  ASSERT_EQ(variants().size(), 12u);
  const std::string last = "rank " + std::to_string(comm_->size() - 1) + " on " + comm_->host() + ": ";
  for (const Variant& variant : variants()) {
    const std::string said = complaint(variant);
    EXPECT_NE(said.find(last), std::string::npos) << variant.name << ": " << said;
    for (const std::string& part : variant.named)
      EXPECT_NE(said.find(part), std::string::npos) << variant.name << ": " << said;
  }
}

TEST_P(CheckedCalls, that_agree_run) {
  const auto values = Tensor::from(std::vector<float>(8, 1.0f), {8});
  for (int k = 0; k < 3; ++k) comm_->all_reduce(values).wait();
  EXPECT_EQ(values.to_vector<float>()[7], static_cast<float>(comm_->size() * comm_->size() * comm_->size()));
  for (int root = 0; root < comm_->size(); ++root) {
    const bool here = root == comm_->rank();
    comm_->gather_to(root, f32(3), here ? f32(3 * comm_->size()) : Tensor()).wait();
    comm_->scatter_from(root, here ? f32(3 * comm_->size()) : Tensor(), f32(3)).wait();
  }
  // Messages concern two ranks, and count on these alone.
  if (comm_->rank() == 0) comm_->send(f32(5), 1).wait();
  if (comm_->rank() == 1) comm_->recv(f32(5), 0).wait();
  comm_->barrier().wait();
}

/// A call on the CPU and one on a GPU take different ways; there is not everywhere a GPU to make it.
TEST(CallDifference, is_in_each_part_but_the_number) {
  const CallSignature usual{.sequence = 7, .count = 8, .root = 1, .kind = 3, .dtype = 1, .reduction = 1};
  const auto difference = [&](const CallSignature& other) {
    std::vector<std::uint8_t> all(2 * CallSignature::bytes);
    usual.write(std::span(all).first(CallSignature::bytes));
    other.write(std::span(all).last(CallSignature::bytes));
    return call_difference(all, {"a", "b"});
  };
  std::vector<CallSignature> others(6, usual);
  others[0].count = 9;
  others[1].root = 0;
  others[2].kind = 4;
  others[3].dtype = 2;
  others[4].reduction = 2;
  others[5].on_gpu = 1;
  for (const CallSignature& other : others) EXPECT_NE(difference(other), "") << other.text();
  CallSignature later = usual;
  later.sequence = 9;
  EXPECT_EQ(difference(later), "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, CheckedCalls, testing::Values("mpi", "node"));

}  // namespace
}  // namespace trireme
