// Which hosts a job gets after one was lost, who else gets the lost one, and what interruptions cost.
#include "launcher/job/spare_hosts.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>

#include "core/base/error.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "launcher/job/effective_time.hpp"
#include "launcher/job/hang_report.hpp"
#include "launcher/job/host_names.hpp"
#include "tests/support/random_seed.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

const std::vector<HostSlots> three = {{"n1", 4}, {"n2", 4}, {"n3", 4}};

SlotRequest request(std::int64_t job, std::vector<HostSlots> hosts, std::int64_t nodes) {
  return {.job = job, .hosts = std::move(hosts), .nodes = nodes, .ranks_per_node = 4};
}

TEST(LostHosts, are_replaced_by_free_ones) {
  QueueView view{.placed = {{request(1, three, 2), {"n1", "n2"}, 0}}, .waiting = {}, .lost = {{"n2.site.org", 50}}};
  EXPECT_EQ(renewed_place(view, 1, 2), (Names{"n1", "n3"}));
  view.lost.clear();
  EXPECT_EQ(renewed_place(view, 1, 2), (Names{"n1", "n2"})) << "nothing was lost";
  EXPECT_TRUE(renewed_place(view, 7, 1).empty()) << "it has no place";
}

TEST(LostHosts, are_done_without_where_the_job_allows_that_and_no_host_is_free) {
  QueueView view{.placed = {{request(1, three, 2), {"n1", "n2"}, 0}, {request(2, three, 1), {"n3"}, 0}},
                 .waiting = {},
                 .lost = {{"n2", 50}}};
  EXPECT_EQ(renewed_place(view, 1, 1), Names{"n1"});
  EXPECT_EQ(renewed_place(view, 1, 2), (Names{"n1", "n2"})) << "one is fewer than the job allows: both are tried";
  view.placed[0].on = {"n1"};
  view.lost.clear();
  EXPECT_EQ(renewed_place(view, 1, 1), (Names{"n1", "n2"})) << "it grows when the host may be tried again";
}

TEST(LostHosts, that_have_to_be_tried_are_those_lost_longest_ago) {
  const QueueView view{
      .placed = {{request(1, three, 2), {"n1", "n2"}, 0}}, .waiting = {}, .lost = {{"n1", 90}, {"n2", 80}, {"n3", 70}}};
  EXPECT_EQ(renewed_place(view, 1, 2), (Names{"n3", "n2"}));
}

TEST(LostHosts, are_given_only_to_jobs_that_cannot_run_without_them) {
  const auto place = [](const SlotRequest& wanted) {
    return plan_queue({.placed = {}, .waiting = {wanted}, .lost = {{"n1", 50}}}, 10);
  };
  EXPECT_EQ(place(request(1, three, 2)).starts.at(0).on, (Names{"n2", "n3"}));
  EXPECT_EQ(place(request(1, three, 3)).starts.at(0).on, (Names{"n1", "n2", "n3"}));
  // A job that could do without waits for the others, and says so.
  const QueuePlan plan = plan_queue({.placed = {{request(1, three, 1), {"n2"}, 0}},
                                     .waiting = {request(2, three, 2), request(3, {{"n1", 4}}, 1)},
                                     .lost = {{"n1", 50}}},
                                    10);
  ASSERT_EQ(plan.waiting.size(), 1u);
  EXPECT_EQ(plan.waiting[0].job, 2);
  ASSERT_EQ(plan.waiting[0].without.size(), 1u);
  EXPECT_EQ(plan.waiting[0].without[0].name, "n1");
  EXPECT_EQ(plan.waiting[0].without[0].until, 50);
  ASSERT_EQ(plan.starts.size(), 1u);
  EXPECT_EQ(plan.starts[0].request.job, 3) << "nobody it delays has a use for n1";
}

TEST(LostHosts, are_told_by_their_names) {
  EXPECT_TRUE(same_host("n2", "n2.site.org") && same_host("n2.site.org", "n2") && same_host("n2", "n2"));
  EXPECT_FALSE(same_host("gpu1.a.org", "gpu1.b.org") || same_host("10", "10.0.0.1"));
  EXPECT_FALSE(same_host("n2", "n22") || same_host("10.0.0.1", "10.0.0.2") || same_host("fe80::1", "fe80::2"));
}

/// Invented hosts, jobs and losses against what a new place must be.
TEST(LostHosts, leave_no_host_oversubscribed_and_no_job_with_less_than_it_could_have) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 5000 && !testing::Test::HasFailure(); ++round) {
    const auto below = [&](std::size_t end) { return random() % end; };
    std::vector<HostSlots> hosts;
    for (std::size_t n = 2 + below(6); n > 0; --n) hosts.push_back({"h" + std::to_string(n), 4});
    QueueView view;
    for (std::int64_t job = 1; job <= 5; ++job)
      view.waiting.push_back(request(job, hosts, 1 + static_cast<std::int64_t>(below(3))));
    view.placed = plan_queue(view, 0).starts;
    if (view.placed.empty()) continue;
    for (const HostSlots& host : hosts) {
      if (below(3) == 0) view.lost.push_back({host.name, 1 + static_cast<double>(below(100))});
    }
    const auto is_lost = [&](const std::string& name) {
      return std::ranges::any_of(view.lost, [&](const LostHost& one) { return one.name == name; });
    };
    const PlacedJob own = view.placed[below(view.placed.size())];
    std::set<std::string> taken;
    for (const PlacedJob& one : view.placed) {
      if (one.request.job != own.request.job) taken.insert(one.on.begin(), one.on.end());
    }
    const auto good = std::ranges::count_if(
        hosts, [&](const HostSlots& host) { return !taken.contains(host.name) && !is_lost(host.name); });
    const auto least = 1 + static_cast<std::int64_t>(below(static_cast<std::size_t>(own.request.nodes)));
    const Names on = renewed_place(view, own.request.job, least);
    EXPECT_EQ(std::set<std::string>(on.begin(), on.end()).size(), on.size());
    for (const std::string& name : on) EXPECT_FALSE(taken.contains(name)) << name;
    const auto lost = std::ranges::count_if(on, is_lost);
    EXPECT_EQ(std::ssize(on) - lost, std::min<std::int64_t>(good, own.request.nodes));
    if (good >= least) {
      EXPECT_EQ(lost, 0);
    } else {
      EXPECT_EQ(std::ssize(on), own.request.nodes);
    }
    for (const std::string& name : own.on) {
      const bool kept = std::ranges::find(on, name) != on.end();
      EXPECT_TRUE(kept || is_lost(name)) << name << " was taken from its job";
    }
  }
}

class SpareJobs : public testing::Test {
 protected:
  std::string jobs() const { return dir_.path().string(); }
  void submit(JobDatabase& database, const SlotRequest& wanted) const {
    fs::create_directories(dir_ / std::to_string(wanted.job));
    database.submit(wanted, {.submitted = 5});
  }
  void ended(int start, Verdict::Kind kind, const std::string& host) const {
    const std::string logs = dir_ / ("start-" + std::to_string(start));
    fs::create_directories(logs);
    write_verdict(logs, {.kind = kind, .code = 12, .rank = 2, .host = host, .text = "gone"});
  }
  TempDir dir_;
};

TEST_F(SpareJobs, what_one_leaves_goes_to_others_in_the_same_write) {
  JobDatabase database(jobs());
  submit(database, request(1, three, 2));
  submit(database, request(2, {{"n2", 4}}, 1));
  submit(database, request(3, {{"n2", 4}, {"n4", 4}}, 1));
  submit(database, request(4, {{"n2", 4}, {"n4", 4}}, 1));
  ASSERT_EQ(database.placement(1)->hosts, "n1:4,n2:4");
  ASSERT_EQ(database.placement(3)->hosts, "n4:4");
  EXPECT_FALSE(database.renew(4, 1)) << "it waits";
  database.leave_out({"n2.site.org", seconds_since_1970() + 1000});
  const JobPlacement now = database.renew(1, 2).value();
  EXPECT_EQ(now.hosts, "n1:4,n3:4");
  EXPECT_EQ(now.since, database.placement(1)->since);
  const JobDatabase other(jobs());
  EXPECT_EQ(other.placement(1)->hosts, "n1:4,n3:4");
  EXPECT_EQ(other.placement(2)->hosts, "n2:4") << "it knows no other";
  EXPECT_FALSE(other.placement(4)) << "n4 will do";
}

TEST_F(SpareJobs, a_lost_host_is_one_like_others_when_its_time_is_over) {
  JobDatabase database(jobs());
  database.leave_out({"n1", seconds_since_1970() + 1000});
  submit(database, request(1, three, 1));
  EXPECT_EQ(database.placement(1)->hosts, "n2:4");
  EXPECT_EQ(database.queue().lost.size(), 1u);
  database.leave_out({"n1", seconds_since_1970() - 1});
  EXPECT_TRUE(database.queue().lost.empty());
  submit(database, request(2, three, 1));
  EXPECT_EQ(database.placement(2)->hosts, "n1:4");
  EXPECT_TRUE(database.queue().lost.empty());
}

TEST_F(SpareJobs, a_data_base_that_knows_no_lost_hosts_goes_on) {
  {
    JobDatabase database(jobs());
    submit(database, request(1, three, 2));
  }
  // Under another name it is not there; the file has no checksums (sqlite.org/fileformat.html).
  std::string bytes = read_file(dir_ / "jobs.db");
  for (std::size_t at = 0; (at = bytes.find("lost", at)) != std::string::npos;) bytes.replace(at, 4, "lust");
  std::ofstream(dir_ / "jobs.db", std::ios::binary) << bytes;
  JobDatabase database(jobs());
  database.leave_out({"n1", seconds_since_1970() + 1000});
  EXPECT_EQ(database.renew(1, 2)->hosts, "n2:4,n3:4");
}

TEST_F(SpareJobs, a_verdict_that_is_no_verdict_is_none) {
  fs::create_directories(dir_ / "start-1");
  EXPECT_FALSE(read_verdict(dir_ / "start-1"));
  ended(1, Verdict::Kind::lost, "n2");
  EXPECT_EQ(read_verdict(dir_ / "start-1")->host, "n2");
  fs::resize_file(dir_ / "start-1/verdict.json", 20);
  EXPECT_FALSE(read_verdict(dir_ / "start-1"));
}

TEST_F(SpareJobs, time_lost_is_seen_in_the_share_that_counts) {
  const JobSpan span{.folder = dir_ / "nowhere", .submitted = 1000, .end = 1100, .elapsed = 75};
  EXPECT_DOUBLE_EQ(effective_share(span).value(), 0.75);
  EXPECT_FALSE(effective_share({.folder = dir_ / "nowhere", .submitted = 1000, .end = 1100}));
}

TEST_F(SpareJobs, one_that_waits_for_a_host_keeps_nobody_from_the_others) {
  JobDatabase database(jobs());
  submit(database, request(1, three, 3));
  submit(database, request(2, three, 1));
  submit(database, request(3, three, 3));
  ASSERT_TRUE(database.placement(1));
  ASSERT_FALSE(database.placement(2) || database.placement(3));
  database.give_back(1);
  EXPECT_FALSE(database.placement(1)) << "it would hold them again at once";
  EXPECT_TRUE(database.placement(2));
  database.write(2, {.phase = JobPhase::done});
  EXPECT_TRUE(database.placement(1)) << "it has kept its place in the line";
  EXPECT_FALSE(database.placement(3));
}

/// An ssh that does as its host, the last word but one, says.
class AskedHosts : public SpareJobs {
 protected:
  void SetUp() override {
    const std::string ssh = dir_ / "ssh";
    std::ofstream(ssh) << "#!/bin/sh\nfor w; do host=$name; name=$w; done\necho $host >>" << jobs() << "/asked\n"
                       << R"(case $host in
deaf) exec sleep 60;;
off) echo 'ssh: connect to host off port 22: No route to host' >&2; exit 255;;
locked) yes banner | head -n 20000 >&2; echo 'me@locked: Permission denied (publickey).' >&2; exit 255;;
busy) [ $(grep -c busy $0ed) = 2 ] && exit 0
  echo 'kex_exchange_identification: Connection closed by remote host' >&2; exit 255;;
odd) exit 3;;
many*) exit 255;;
own*|127*|localhost) echo 'ssh: connect to host own port 22: Connection refused' >&2; exit 255;;
esac
)";
    fs::permissions(ssh, fs::perms::owner_all);
    fs::create_symlink("asked", dir_ / "sshed");
    path_ = std::getenv("PATH");
    ::setenv("PATH", (jobs() + ":" + path_).c_str(), 1);
  }
  void TearDown() override { ::setenv("PATH", path_.c_str(), 1); }
  static bool wait_a_little() {
    ::usleep(5000);
    return true;
  }
  Names asked() const {
    std::ifstream file(dir_ / "asked");
    return {std::istream_iterator<std::string>(file), {}};
  }
  std::string path_;
};

TEST_F(AskedHosts, that_do_not_answer_are_found_out) {
  const double begin = steady_seconds();
  const auto silent =
      silent_hosts({"deaf", "off", "locked", "busy", "odd", "well"}, {.connection = 1, .answer = 4}, wait_a_little);
  EXPECT_LT(steady_seconds() - begin, 30) << "the deaf one sleeps for a minute";
  Names names;
  for (const SilentHost& one : silent) names.push_back(one.name);
  ASSERT_EQ(names, (Names{"deaf", "off", "locked"}));
  EXPECT_EQ(silent[0].why, "ssh: no answer in time");
  EXPECT_EQ(silent[1].why, "ssh: connect to host off port 22: No route to host");
  EXPECT_EQ(silent[2].why, "me@locked: Permission denied (publickey).");
  EXPECT_TRUE(silent[1].may_return);
  EXPECT_FALSE(silent[2].may_return);
}

TEST_F(AskedHosts, are_no_names_of_this_machine) {
  EXPECT_TRUE(silent_hosts({host_name(), "localhost", "127.0.0.1"}, {}, wait_a_little).empty());
  EXPECT_EQ(asked(), Names{"127.0.0.1"}) << "others need not be asked";
  EXPECT_TRUE(is_this_machine("127.0.0.1") && is_this_machine(host_name()));
  EXPECT_FALSE(is_this_machine("192.0.2.1") || is_this_machine("no-such-host.invalid"));
}

TEST_F(AskedHosts, may_be_many) {
  Names names;
  for (int k = 0; k < 100; ++k) names.push_back("many" + std::to_string(k));
  EXPECT_EQ(silent_hosts(names, {}, wait_a_little).size(), names.size());
  EXPECT_EQ(asked().size(), names.size());
}

TEST_F(AskedHosts, are_not_waited_for_by_one_who_is_asked_to_go) {
  const double begin = steady_seconds();
  EXPECT_TRUE(silent_hosts({"deaf"}, {}, [] { return false; }).empty());
  EXPECT_LT(steady_seconds() - begin, 20) << "it is given 30 s, and sleeps for a minute";
}

TEST_F(AskedHosts, that_were_not_heard_out_stay_lost) {
  JobDescription job;
  job.backend = Backend::hosts;
  job.min_nodes = 1;
  job.hosts = "deaf:4";
  JobDatabase database(jobs());
  database.leave_out({"deaf", seconds_since_1970() + 1000});
  submit(database, request(1, {{"deaf", 4}}, 1));
  const JobFolder folder(jobs() + "/1", 1);
  EXPECT_TRUE(SpareHosts(folder, job).look([] { return false; }).place);
  EXPECT_EQ(database.queue().lost.size(), 1u);
}

}  // namespace
}  // namespace trireme
