// Lists of hosts: what Open MPI's and DeepSpeed's users write is read, and a mistake is told with its place.
#include "launcher/job/host_list.hpp"

#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace trireme {
namespace {

std::string text_of(const std::vector<HostSlots>& hosts) { return host_list(hosts, 9); }

/// The message of the usage error that `action` ends in; empty where there is none.
template <class Action>
std::string usage_error(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

void expect_refused(const std::string& file, const std::string& part) {
  const std::string said = usage_error([&] { read_hostfile(file, "hosts"); });
  EXPECT_NE(said.find(part), std::string::npos) << "of '" << file << "' was said: " << said;
}

TEST(HostList, of_a_command_line) {
  EXPECT_EQ(text_of(read_hosts("a,b:4,n-1.cluster_x:2")), "a:9,b:4,n-1.cluster_x:2");
  EXPECT_EQ(text_of(read_hosts("[fe80::1%eth0]:2,[::1]")), "[fe80::1%eth0]:2,[::1]:9");
  EXPECT_TRUE(read_hosts("").empty());
  for (const char* wrong : {"a,,b", "a:", "a:0", "a:-1", "a:4x", "a:4:5", "-a", ".a", "a b", "a;b", "$(a)", "[::1",
                            "[::1]4", "[x]", "[::1]:", "fe80::1", "a,a", ","})
    EXPECT_NE(usage_error([&] { read_hosts(wrong); }), "") << wrong;
  EXPECT_NE(usage_error([] { read_hosts("fe80::1"); }).find("in brackets: [fe80::1]"), std::string::npos);
}

TEST(HostList, of_a_file) {
  const auto hosts = read_hostfile(
      "# the cluster\n\n a slots=4  # first\nb slots=2 max_slots=8\r\nc:3\nd\n[::1]:2\ne max-slots=4\n", "hosts");
  EXPECT_EQ(text_of(hosts), "a:4,b:2,c:3,d:9,[::1]:2,e:9");
}

TEST(HostList, a_repeated_name_has_a_slot_a_line) {
  EXPECT_EQ(text_of(read_hostfile("a\nb\na\na\n", "hosts")), "a:3,b:9");
  expect_refused("a slots=2\na\n", "hosts:2: host 'a' is there already");
  expect_refused("a\na slots=2\n", "hosts:2: host 'a' is there already");
}

TEST(HostList, mistakes_of_a_file_are_told_with_their_line) {
  expect_refused("a\nb slot=4\n", "hosts:2: found 'slot=4', wanted slots=N or max_slots=N");
  expect_refused("a slots=four\n", "hosts:1: found 'four' slots, wanted a whole number from 1 to 65536");
  expect_refused("\n\na slots=0\n", "hosts:3: found '0' slots");
  expect_refused("a slots=1 slots=2\n", "hosts:1: host 'a' has two numbers of slots");
  expect_refused("a 4\n", "hosts:1: found '4'");
  expect_refused("a\x1b[2J\n", "hosts:1: found the host 'a\\x1b[2J'");
  expect_refused("# nobody\n", "the hostfile 'hosts' names no host");
}

TEST(HostList, include_and_exclude) {
  const auto hosts = read_hosts("n1:2,n2:4,n3,[::1]:1");
  EXPECT_EQ(text_of(filtered(hosts, {.include = "n3@n1"})), "n1:2,n3:9");
  EXPECT_EQ(text_of(filtered(hosts, {.include = "n1,n2", .exclude = "n2"})), "n1:2");
  EXPECT_EQ(text_of(filtered(hosts, {.exclude = "[::1]"})), "n1:2,n2:4,n3:9");
  EXPECT_EQ(text_of(filtered(hosts, {})), text_of(hosts));
  EXPECT_NE(usage_error([&] { filtered(hosts, {.include = "n11"}); }).find("did you mean 'n1'?"), std::string::npos);
  EXPECT_NE(usage_error([&] { filtered(hosts, {.include = "n1:0,2"}); }).find("single slots are not chosen"),
            std::string::npos);
  EXPECT_NE(usage_error([&] { filtered(hosts, {.exclude = "n1,n2,n3,::1"}); }).find("leave no host"),
            std::string::npos);
}

TEST(HostList, as_mpirun_takes_it) {
  EXPECT_EQ(hostfile_text(read_hosts("[fe80::1],b:2"), 4), "fe80::1 slots=4\nb slots=2\n");
  EXPECT_TRUE(has_ipv6(read_hosts("a,[::1]")));
  EXPECT_FALSE(has_ipv6(read_hosts("a:1,b")));
}

}  // namespace
}  // namespace trireme
