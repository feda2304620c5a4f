// The thread that looks at NCCL while the computing one is stuck elsewhere.
#include <gtest/gtest.h>

#include <future>

#include "comm/nccl_watch.hpp"
#include "tests/comm/fake_nccl.hpp"

namespace trireme {
namespace {

TEST(NcclWatch, EndsTheJobOfAFailureThatNobodyHearsOf) {
  const auto trace = std::make_shared<std::vector<std::string>>();
  const auto api = std::make_shared<test::FakeNccl>(trace);
  std::promise<std::string> ended;
  const nccl::Tools tools{.api = api,
                          .queue = std::make_shared<test::FakeQueue>(trace),
                          .clock = std::make_shared<test::FakeClock>(),
                          .end_job = [&](ExitCode, const std::string& text) { ended.set_value(text); }};
  const auto channel = std::make_shared<nccl::Channel>(
      tools, Communicator::Identity{.name = "world", .rank = 0, .hosts = {"a", "b"}},
      nccl::Deadlines{.notice = std::chrono::milliseconds(-1)});  // the fake's time stands still: no time to notice
  channel->start({});
  api->behind = nccl::Status::remote_error;
  nccl::Watch watch;
  watch.add(channel);
  auto text = ended.get_future();
  ASSERT_EQ(text.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_NE(text.get().find("ncclRemoteError"), std::string::npos);
  EXPECT_EQ(api->aborted, 1);
}

}  // namespace
}  // namespace trireme
