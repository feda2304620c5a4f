// What the doctor concludes from facts: each thing that keeps jobs from running is a finding with a remedy, and a
// healthy machine has none.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/base/error.hpp"
#include "launcher/doctor/findings.hpp"
#include "launcher/doctor/slurm_findings.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

constexpr std::int64_t gibi = std::int64_t{1} << 30;

MachineFacts healthy() {
  return {
      .host = "a",
      .version = "1.0",
      .program = "/opt/trireme",
      .libraries = {{"MPI", "Open MPI 4.1.4"}, {"HDF5", "1.10"}},
      .mpirun = "/usr/bin/mpirun",
      .orted = "/usr/bin/orted",
      .cores = 8,
      .memory_bytes = 64 * gibi,
      .shared_bytes = 32 * gibi,
      .shared_free = 32 * gibi,
      .open_files = 4096,
      .most_open_files = -1,
      .locked_bytes = -1,
      .own_addresses = {"10.0.0.1"},
      .cards = {{.name = "eth0",
                 .driver = "mlx5_core",
                 .megabits = 25000,
                 .mtu = 9000,
                 .up = true,
                 .linked = true,
                 .addresses = {"10.0.0.1/24"}}},
      .folders = {
          {.path = "/runs", .nearest = "/", .free_bytes = 100 * gibi, .total_bytes = 200 * gibi, .writable = true}}};
}

/// The worst findings that `check` has; "ok" where all is well.
std::string worst(const std::vector<Finding>& findings, const std::string& check) {
  Grade found = Grade::ok;
  for (const Finding& one : findings) {
    EXPECT_EQ(one.verdict != Grade::ok, !one.remedy.empty()) << one.check << ": " << one.found;
    if (one.check == check) found = std::max(found, one.verdict);
  }
  return to_text(found);
}

std::string machine(const MachineFacts& facts, const std::string& check) { return worst(judge_machine(facts), check); }
std::string same(const MachineFacts& facts, const std::string& check) {
  return worst(judge_sameness(facts, healthy()), check);
}

TEST(DoctorFindings, a_healthy_machine_has_none) {
  for (const auto& findings : {judge_machine(healthy()), judge_sameness(healthy(), healthy())}) {
    for (const Finding& one : findings) EXPECT_EQ(to_text(one.verdict), "ok") << one.check << ": " << one.found;
  }
}

TEST(DoctorFindings, what_a_machine_lacks_is_named) {
  MachineFacts facts = healthy();
  facts.shared_free = gibi / 2;
  EXPECT_EQ(machine(facts, "shared memory"), "warning");
  facts.shared_free = 1 << 20;
  EXPECT_EQ(machine(facts, "shared memory"), "fault");
  facts.open_files = 256;
  EXPECT_EQ(machine(facts, "open files"), "warning");
  facts.locked_bytes = 65536;
  EXPECT_EQ(machine(facts, "locked memory"), "ok");
  facts.gpus = {"H200"};
  EXPECT_EQ(machine(facts, "locked memory"), "warning");
  facts.folders[0].free_bytes = gibi;
  EXPECT_EQ(machine(facts, "disk"), "warning");
  facts.folders[0].free_bytes = 1000;
  EXPECT_EQ(machine(facts, "disk"), "fault");
  facts.folders[0].free_bytes = 100 * gibi;
  facts.folders[0].writable = false;
  EXPECT_EQ(machine(facts, "disk"), "fault");
  facts.own_addresses = {"127.0.1.1"};
  EXPECT_EQ(machine(facts, "name"), "warning");
}

TEST(DoctorFindings, cards_that_mislead_mpi_are_named) {
  MachineFacts facts = healthy();
  facts.cards.push_back({.name = "eth1", .up = true, .linked = true, .addresses = {"10.0.0.9/24"}});
  EXPECT_EQ(machine(facts, "network"), "warning");
  facts.cards[1].addresses = {"10.0.1.9/24"};
  EXPECT_EQ(machine(facts, "network"), "ok");
  facts.cards[1].linked = false;
  EXPECT_EQ(machine(facts, "network"), "warning");
  facts.cards.clear();
  EXPECT_EQ(machine(facts, "network"), "warning");
  // A bridge of containers with the same network on both hosts.
  std::vector<HostReport> hosts(2);
  for (HostReport& host : hosts) {
    host.facts = healthy();
    host.facts->cards.push_back({.name = "docker0", .up = true, .linked = true, .addresses = {"172.17.0.1/16"}});
  }
  judge_networks(hosts);
  EXPECT_EQ(worst(hosts[1].findings, "network"), "warning");
  EXPECT_NE(hosts[1].findings[0].remedy.find("btl_tcp_if_exclude lo,docker0"), std::string::npos);
  hosts[1].facts->cards.pop_back();
  hosts[0].findings.clear();
  judge_networks(hosts);
  EXPECT_TRUE(hosts[0].findings.empty());
}

TEST(DoctorFindings, what_differs_between_hosts_is_named) {
  MachineFacts facts = healthy();
  facts.version = "0.9";
  EXPECT_EQ(same(facts, "trireme"), "fault");
  facts.libraries["MPI"] = "Open MPI 5.0";
  EXPECT_EQ(same(facts, "MPI"), "fault");
  facts.libraries["MPI"] = healthy().libraries["MPI"];
  facts.orted.clear();
  EXPECT_EQ(same(facts, "MPI"), "fault");
  EXPECT_EQ(same(facts, "libraries"), "ok");
  facts.libraries.erase("HDF5");
  EXPECT_EQ(same(facts, "libraries"), "warning");
  EXPECT_EQ(same(facts, "machine"), "ok");
  facts.gpus = {"H200"};
  EXPECT_EQ(same(facts, "machine"), "warning");
}

TEST(DoctorFindings, each_kind_of_silence_has_its_remedy) {
  const HostReport host{.host = "b"};
  const auto remedy = [&](const std::string& said, int code) {
    return judge_silence(host, said, code, "/opt/trireme").remedy;
  };
  const auto holds = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(holds(remedy("root@b: Permission denied (publickey).", 255), "ssh-copy-id b"));
  EXPECT_TRUE(holds(remedy("Host key verification failed.", 255), "ssh-keyscan b"));
  EXPECT_TRUE(holds(remedy("ssh: Could not resolve hostname b: Name or service not known", 255), "/etc/hosts"));
  EXPECT_TRUE(holds(remedy("ssh: connect to host b port 22: Connection refused", 255), "systemctl start ssh"));
  EXPECT_TRUE(holds(remedy("ssh: connect to host b port 22: Connection timed out", 255), "ping b"));
  EXPECT_TRUE(holds(remedy("no answer within 25 s", -1), "ping b"));
  EXPECT_TRUE(holds(remedy("bash: /opt/trireme: No such file or directory", 127), "same path on b: /opt/trireme"));
  EXPECT_TRUE(holds(remedy("error: trireme: there is no command 'doctor-agent'", 2), "older"));
  EXPECT_TRUE(is_unreachable("Connection timed out", 255));
  EXPECT_FALSE(is_unreachable("bash: /opt/trireme: No such file or directory", 127));
}

/// Whatever the two ways take, the true difference lies within what is said.
TEST(DoctorClock, the_true_skew_lies_within_the_uncertainty) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::int64_t end) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(end));
  };
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t skew = below(20'000'000'000) - 10'000'000'000;
    std::vector<ClockSample> samples;
    std::int64_t shortest = INT64_MAX;
    for (int n = 0; n < 8; ++n) {
      const std::int64_t asked = below(1'000'000'000'000), there = below(50'000'000), back = below(50'000'000);
      samples.push_back({.asked = asked, .there = asked + there + skew, .answered = asked + there + back});
      shortest = std::min(shortest, there + back);
    }
    const auto found = estimate_skew(samples);
    ASSERT_TRUE(found);
    const double error = std::abs(found->seconds - static_cast<double>(skew) * 1e-9);
    ASSERT_LE(error, found->uncertainty + 1e-9);
    ASSERT_NEAR(found->uncertainty, static_cast<double>(shortest) * 0.5e-9, 1e-9);
  }
  const ClockSample set_back{.asked = 10, .there = 5, .answered = 3};
  EXPECT_FALSE(estimate_skew(std::span(&set_back, 1)));
}

TEST(DoctorClock, only_a_skew_beyond_the_uncertainty_is_a_finding) {
  EXPECT_EQ(judge_clock(ClockSkew{.seconds = 0.3, .uncertainty = 0.25}).verdict, Grade::ok);
  EXPECT_EQ(judge_clock(ClockSkew{.seconds = -0.3, .uncertainty = 0.001}).verdict, Grade::warning);
  EXPECT_EQ(judge_clock(ClockSkew{.seconds = 60, .uncertainty = 0.001}).verdict, Grade::fault);
  EXPECT_EQ(judge_clock(std::nullopt).verdict, Grade::warning);
}

/// All pairs of three hosts, at one rate.
std::vector<PairReport> all_pairs(double gigabits, double expected) {
  std::vector<PairReport> pairs;
  for (const char* from : {"a", "b", "c"}) {
    for (const char* to : {"a", "b", "c"}) {
      if (from != to)
        pairs.push_back({.from = from, .to = to, .round_trip = 1e-4, .gigabits = gigabits, .expected = expected});
    }
  }
  return pairs;
}

std::vector<HostReport> three_hosts() { return {{.host = "a"}, {.host = "b"}, {.host = "c"}}; }

TEST(DoctorLinks, a_slow_host_is_named_and_no_other) {
  for (const double expected : {0.0, 10.0}) {
    auto hosts = three_hosts();
    auto pairs = all_pairs(9, expected);
    judge_links(pairs, hosts, {});
    for (const HostReport& host : hosts) EXPECT_TRUE(host.findings.empty());
    for (PairReport& pair : pairs) {
      if (pair.from == "b") pair.gigabits = 2;
    }
    judge_links(pairs, hosts, {});
    EXPECT_EQ(worst(hosts[1].findings, "link"), "warning");
    EXPECT_TRUE(hosts[0].findings.empty() && hosts[2].findings.empty());
  }
}

TEST(DoctorLinks, one_slow_way_is_named) {
  auto hosts = three_hosts();
  auto pairs = all_pairs(9, 10);
  pairs[1].gigabits = 0.5;  // a to c
  judge_links(pairs, hosts, {});
  ASSERT_EQ(hosts[0].findings.size(), 1u);
  EXPECT_NE(hosts[0].findings[0].found.find("slow to c"), std::string::npos);
  EXPECT_TRUE(hosts[1].findings.empty() && hosts[2].findings.empty());
}

TEST(DoctorLinks, closed_ports_are_named_at_the_host_that_closes_them) {
  auto hosts = three_hosts();
  auto pairs = all_pairs(9, 10);
  pairs[0].blocked = {20001, 20003};  // a to b
  judge_links(pairs, hosts, {20000, 20007});
  EXPECT_TRUE(hosts[0].findings.empty() && hosts[2].findings.empty());
  ASSERT_EQ(hosts[1].findings.size(), 1u);
  EXPECT_EQ(hosts[1].findings[0].found, "closed to a: 20001, 20003");
  EXPECT_NE(hosts[1].findings[0].remedy.find("20000:20007"), std::string::npos);
  pairs[0].blocked.clear();
  pairs[0].problem = "no answer";
  hosts = three_hosts();
  judge_links(pairs, hosts, {});
  EXPECT_NE(hosts[1].findings.at(0).remedy.find("--ports"), std::string::npos);
}

TEST(DoctorLinks, the_slower_card_says_what_to_expect) {
  const MachineFacts fast = healthy();
  MachineFacts slow = healthy();
  slow.cards[0].megabits = 1000;
  EXPECT_EQ(expected_gigabits(fast, "10.0.0.1", slow, "10.0.0.1"), 1);
  EXPECT_EQ(expected_gigabits(fast, "10.0.0.1", fast, "10.0.0.1"), 25);
  EXPECT_EQ(expected_gigabits(fast, "10.0.0.1", fast, "10.9.9.9"), 0);
  EXPECT_EQ(network_of("10.1.2.3/12"), "10.0.0.0/12");
  EXPECT_EQ(network_of("fd00::1/64"), "");
}

TEST(DoctorFacts, travel_as_json_whole) {
  MachineFacts facts = healthy();
  facts.gpus = {"H200", "H200"};
  facts.gpu_driver = "580";
  const std::string text = to_json(facts).dump();
  EXPECT_EQ(to_json(facts_from_json(Json::parse(text), "test")).dump(), text);
  Json broken = Json::parse(text);
  broken["cores"] = "many";
  EXPECT_THROW(facts_from_json(broken, "test"), Error);
  broken.erase("cores");
  EXPECT_THROW(facts_from_json(broken, "test"), Error);
}

SlurmAnswers site() {
  return {
      .ping = {"Slurmctld(primary) at head is UP\n"},
      .config = {"SLURM_VERSION           = 22.05.8\nJobRequeue              = 1\nPreemptMode             = REQUEUE\n"
                 "SlurmctldParameters     = preempt_send_user_signal\nMaxArraySize            = 1001\n"
                 "MaxJobCount             = 10000\n"},
      .partitions = {"PartitionName=normal Default=YES MaxTime=UNLIMITED DefaultTime=01:00:00 State=UP\n"
                     "PartitionName=gpu Default=NO MaxTime=1-00:00:00 DefaultTime=NONE State=DOWN\n"},
      .nodes = {"normal*|idle|2\ngpu|down*|3\n"},
      .mpi = {"MPI plugin types are...\n\tpmix\n\tnone\n"},
      .munge = {"STATUS: Success (0)\n"}};
}

TEST(DoctorSlurm, a_healthy_site_has_no_finding) {
  for (const Finding& one : judge_slurm(site(), "")) EXPECT_EQ(to_text(one.verdict), "ok") << one.check << one.found;
}

TEST(DoctorSlurm, what_a_site_lacks_is_named) {
  SlurmAnswers answers = site();
  EXPECT_EQ(worst(judge_slurm(answers, "gpu"), "partition"), "fault");
  EXPECT_EQ(worst(judge_slurm(answers, "gpu"), "hosts"), "fault");
  EXPECT_EQ(worst(judge_slurm(answers, "cpu"), "partition"), "fault");
  answers.nodes.text = "normal*|idle|2\nnormal*|drained|1\n";
  EXPECT_EQ(worst(judge_slurm(answers, ""), "hosts"), "warning");
  answers.mpi.text = "none\npmi2\n";
  EXPECT_EQ(worst(judge_slurm(answers, ""), "srun --mpi"), "warning");
  answers.munge.problem = "munge: Error: Failed to access";
  EXPECT_EQ(worst(judge_slurm(answers, ""), "munge"), "fault");
  answers.config.text = "SlurmctldParameters = (null)\nPreemptMode = REQUEUE\n";
  EXPECT_EQ(worst(judge_slurm(answers, ""), "preemption"), "warning");
  answers.ping = {.problem = "scontrol did not answer within 30 s"};
  EXPECT_EQ(judge_slurm(answers, "").size(), 1u);
  EXPECT_EQ(worst(judge_slurm(answers, ""), "slurmctld"), "fault");
}

}  // namespace
}  // namespace trireme
