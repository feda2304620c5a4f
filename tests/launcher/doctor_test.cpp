// `trireme doctor` on this machine, and the pieces that measure: real sockets, a real agent.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>
#include <thread>

#include "core/base/error.hpp"
#include "core/io/json_object.hpp"
#include "launcher/doctor/agent_link.hpp"
#include "launcher/doctor/peer.hpp"
#include "launcher/doctor/shared_folder.hpp"
#include "launcher/doctor/sockets.hpp"
#include "launcher/job/captured.hpp"
#include "launcher/job/launch_plan.hpp"
#include "launcher/job/port_range.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

using Words = std::vector<std::string>;

const std::string doctor_program = TRIREME_BINARY_DIR "/launcher/trireme";

Captured doctor(const Words& words) {
  Words command = {doctor_program, "doctor"};
  command.insert(command.end(), words.begin(), words.end());
  return captured(command, 60);
}

TEST(Doctor, says_how_this_machine_is) {
  const TempDir folder;
  const Captured said = doctor({"--folders", folder.path().string(), "--shared-folder", folder.path().string()});
  for (const char* check : {"trireme", "MPI", "machine", "shared memory", "open files", "disk", "shared folder"})
    EXPECT_TRUE(has(said.output, check)) << said.output << said.error;
  EXPECT_TRUE(has(said.output, "1 examined")) << said.output;
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const Captured json = doctor({"--json", "--folders", folder.path().string()});
  const Json report = Json::parse(json.output);
  EXPECT_EQ(report["hosts"][0]["facts"]["cores"], usable_cores());
  EXPECT_EQ(report["code"], json.code);
}

TEST(Doctor, refuses_what_makes_no_sense) {
  EXPECT_EQ(doctor({"--hosts", "a", "--slurm"}).code, 2);
  EXPECT_EQ(doctor({"--hosts", "-oProxyCommand=x"}).code, 2);
  EXPECT_EQ(doctor({"--partition", "gpu"}).code, 2);
  EXPECT_EQ(doctor({"--ports", "80-90"}).code, 2);
  EXPECT_EQ(doctor({"--shared-folder", "/nowhere"}).code, 14);
}

/// No name server answers for it, and ssh says so at once.
TEST(Doctor, a_host_that_is_not_there_is_a_row_with_a_remedy) {
  const Captured said = doctor({"--hosts", "no-such-host.invalid", "--seconds", "3"});
  EXPECT_EQ(said.code, 12) << said.output << said.error;
  EXPECT_TRUE(has(said.output, "no-such-host.invalid: fault")) << said.output;
  EXPECT_TRUE(has(said.output, "->")) << said.output;
}

TEST(DoctorAgent, answers_line_by_line_and_ends_with_its_input) {
  AgentLink link("here", {doctor_program, "doctor-agent"});
  link.ask({{"ask", "time"}});
  link.ask({{"ask", "nonsense"}});
  link.ask({{"ask", "time"}});
  EXPECT_TRUE(link.answer(10).has_value());
  EXPECT_FALSE(link.answer(10).has_value());
  EXPECT_TRUE(has(link.refusal(), "no such question"));
  EXPECT_TRUE(link.answer(10).has_value());
  EXPECT_TRUE(link.answers());
}

TEST(DoctorAgent, a_shell_that_talks_or_hangs_is_no_harm) {
  AgentLink chatty("here", {"sh", "-c", "echo welcome; echo '{}'; exec " + doctor_program + " doctor-agent"});
  chatty.ask({{"ask", "time"}});
  EXPECT_TRUE(chatty.answer(10).has_value());
  const double begin = steady_now();
  AgentLink silent("here", {"sleep", "60"});
  silent.ask({{"ask", "time"}});
  EXPECT_FALSE(silent.answer(0.3).has_value());
  EXPECT_TRUE(has(silent.problem(), "no answer within"));
  AgentLink absent("here", {"sh", "-c", "echo 'sh: /x: not found' >&2; exit 127"});
  absent.ask({{"ask", "time"}});
  EXPECT_FALSE(absent.answer(10).has_value());
  EXPECT_EQ(absent.code(), 127);
  EXPECT_TRUE(has(absent.problem(), "not found"));
  EXPECT_LT(steady_now() - begin, 9);
}

TEST(DoctorPeer, measures_and_sees_which_ports_are_open) {
  const PeerServer server("0123456789abcdef", {});
  ASSERT_EQ(server.open().size(), 1u);
  const std::int64_t port = server.open()[0];
  // A port that nobody listens at, and one where somebody else does.
  std::int64_t closed = 0;
  { closed = port_of(listen_at(0)); }
  const Descriptor foreign = listen_at(0);
  std::jthread other([&] {
    const Descriptor talk(::accept(foreign.get(), nullptr, nullptr));
    send_all(talk, "220 mail\n");
  });
  const PeerAnswer found = ask_peer({.token = "0123456789abcdef",
                                     .names = {"127.0.0.1"},
                                     .ports = {closed, port_of(foreign), port},
                                     .seconds = 0.1,
                                     .streams = 2});
  EXPECT_EQ(found.blocked, (std::vector<std::int64_t>{closed, port_of(foreign)}));
  EXPECT_EQ(found.local, "127.0.0.1");
  EXPECT_GT(found.gigabits, 0);
  EXPECT_GT(found.round_trip, 0);
  EXPECT_LT(found.round_trip, 1);
  const PeerAnswer none =
      ask_peer({.token = "fedcba9876543210", .names = {"no-such-host.invalid", "127.0.0.1"}, .ports = {port}});
  EXPECT_TRUE(none.name.empty());
  EXPECT_EQ(none.blocked.size(), 1u);
  const PeerServer second("0123456789abcdef", {port});
  EXPECT_EQ(second.taken(), std::vector<std::int64_t>{port});
}

TEST(DoctorShared, a_folder_that_is_not_shared_is_seen) {
  const TempDir here, there;
  const SharedFolder folder(here.path().string(), "token");
  const SharedAnswer same = look_into_shared(here.path().string(), "token", "1", 5);
  EXPECT_GE(same.seen_after, 0);
  EXPECT_TRUE(same.locked);
  EXPECT_GE(folder.wait_for("1", 5), 0);
  EXPECT_LT(look_into_shared(there.path().string(), "token", "2", 0.2).seen_after, 0);
  EXPECT_LT(folder.wait_for("2", 0.2), 0);
  EXPECT_FALSE(look_into_shared("/nowhere", "token", "3", 0.2).problem.empty());
}

TEST(Ports, are_read_and_reach_mpi) {
  EXPECT_EQ(read_ports("").count(), 0);
  EXPECT_EQ(read_ports("20000-20007").count(), 8);
  for (const char* wrong :
       {"20000", "20000-", "-20000", "7-3", "20007-20000", "80-99", "20000-70000", "a-b", "1024-2000x"})
    EXPECT_THROW(read_ports(wrong), Error) << wrong;
  LaunchSettings settings{.ranks = 4, .hosts = "a:2,b:2", .ports = "20000-20007", .program = {"x"}};
  const auto command = plan_launch(settings, {.cores = 4}).command;
  const auto follows = [&](const std::string& name, const std::string& value) {
    const auto at = std::ranges::find(command, name);
    return at != command.end() && at + 1 != command.end() && *(at + 1) == value;
  };
  EXPECT_TRUE(follows("btl_tcp_port_min_v4", "20000"));
  EXPECT_TRUE(follows("btl_tcp_port_range_v4", "8"));
  EXPECT_TRUE(follows("oob_tcp_dynamic_ipv4_ports", "20000-20007"));
  settings.ports = "20000-20002";
  EXPECT_THROW(plan_launch(settings, {.cores = 4}), Error);
  settings.ports = "20000-20007";
  settings.hosts = "";
  settings.starter = RankStarter::srun;
  const auto srun = plan_launch(settings, {.cores = 4}).command;
  EXPECT_NE(std::ranges::find(srun, "OMPI_MCA_btl_tcp_port_min_v4=20000"), srun.end());
}

}  // namespace
}  // namespace trireme
