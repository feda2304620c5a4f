// Which hosts a job starts on again after one was lost, and what interruptions cost.
#include "launcher/job/spare_hosts.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "launcher/job/effective_time.hpp"
#include "launcher/job/hang_report.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class SpareHosts : public testing::Test {
 protected:
  void ended(int start, Verdict::Kind kind, const std::string& host) const {
    const std::string logs = dir_ / ("start-" + std::to_string(start));
    fs::create_directories(logs);
    write_verdict(logs, {.kind = kind, .code = 12, .rank = 2, .host = host, .text = "gone"});
  }
  JobDescription job() const {
    JobDescription out;
    out.backend = Backend::hosts;
    out.nodes = 3;
    out.min_nodes = 2;
    out.ranks_per_node = 4;
    out.hosts = "n1:4,n2:4,n3:4";
    return out;
  }
  JobDescription at_start(const JobDescription& job, int start) const {
    return on_remaining_hosts(job, dir_.path().string(), start);
  }
  TempDir dir_;
};

TEST_F(SpareHosts, leave_out_a_host_that_was_lost) {
  EXPECT_EQ(at_start(job(), 1).hosts, "n1:4,n2:4,n3:4");
  ended(1, Verdict::Kind::lost, "n2.site.org");
  const JobDescription now = at_start(job(), 2);
  EXPECT_EQ(now.hosts, "n1:4,n3:4");
  EXPECT_EQ(now.nodes, 2);
  EXPECT_EQ(now.ranks(), 8);
  ended(2, Verdict::Kind::lost, "n1");
  EXPECT_EQ(at_start(job(), 3).nodes, 3) << "one would be fewer than the job allows: all are tried";
}

TEST_F(SpareHosts, are_all_hosts_where_nothing_was_lost_or_nothing_smaller_is_allowed) {
  ended(1, Verdict::Kind::stuck, "n2");
  EXPECT_EQ(at_start(job(), 2).nodes, 3) << "a rank that hangs is no lost host";
  ended(2, Verdict::Kind::lost, "n2");
  JobDescription whole = job();
  whole.min_nodes = 3;
  EXPECT_EQ(at_start(whole, 3).nodes, 3);
  EXPECT_EQ(at_start(job(), 3).nodes, 2);
  // Half an hour later it is tried again.
  const std::string path = dir_ / "start-2/verdict.json";
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(1801));
  EXPECT_EQ(at_start(job(), 3).nodes, 3);
}

TEST_F(SpareHosts, are_told_apart_by_their_whole_address) {
  ended(1, Verdict::Kind::lost, "10.0.0.2");
  JobDescription numbered = job();
  numbered.hosts = "10.0.0.1:4,10.0.0.2:4,10.0.0.3:4";
  EXPECT_EQ(at_start(numbered, 2).hosts, "10.0.0.1:4,10.0.0.3:4");
}

TEST_F(SpareHosts, a_verdict_that_is_no_verdict_is_none) {
  fs::create_directories(dir_ / "start-1");
  EXPECT_FALSE(read_verdict(dir_ / "start-1"));
  ended(1, Verdict::Kind::lost, "n2");
  fs::resize_file(dir_ / "start-1/verdict.json", 20);
  EXPECT_FALSE(read_verdict(dir_ / "start-1"));
  EXPECT_EQ(at_start(job(), 2).nodes, 3);
}

TEST_F(SpareHosts, time_lost_is_seen_in_the_share_that_counts) {
  const JobSpan span{.folder = dir_ / "nowhere", .submitted = 1000, .end = 1100, .elapsed = 75};
  EXPECT_DOUBLE_EQ(effective_share(span).value(), 0.75);
  EXPECT_FALSE(effective_share({.folder = dir_ / "nowhere", .submitted = 1000, .end = 1100}));
}

}  // namespace
}  // namespace trireme
