#include "launcher/job/spare_hosts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string_view>

#include "core/base/now.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/host_names.hpp"
#include "launcher/job/job_state.hpp"

namespace trireme {
namespace {

/// Key exchanges take a core each.
constexpr std::size_t asked_at_once = 32;
constexpr std::size_t kept_words = 4096;
constexpr int ssh_failed = 255;
/// Before those that were turned away are asked again.
constexpr double pause_seconds = 1;

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Where mpirun is told to reach hosts in another way, ssh says nothing about them.
bool asks_hosts(const JobDescription& job) {
  const bool told = says(job.mpirun_options, "plm_rsh_a") || std::getenv("OMPI_MCA_plm_rsh_agent") != nullptr;
  return job.host_wait_seconds() > 0 && !told && !find_program("ssh").empty();
}

class Question {
 public:
  Question(const std::string& host, const AskLimits& limits)
      : host_(host),
        ssh_({.command = {"ssh", "-n", "-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o",
                          fmt::format("ConnectTimeout={:.0f}", std::ceil(limits.connection)), host, "true"},
              .group = ChildGroup::own,
              .death_signal = SIGKILL}) {
    for (const int pipe : {ssh_.output(), ssh_.error()}) ::fcntl(pipe, F_SETFL, O_NONBLOCK);
  }
  ~Question() {
    if (ssh_.poll_status() != -1) return;
    ::kill(-ssh_.id(), SIGKILL);
    while (ssh_.poll_status() == -1) ::usleep(1000);
  }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  bool answered() {
    const bool ended = ssh_.poll_status() != -1;
    take_words();
    return ended;
  }
  /// Any other code is one of the command there, so that the host was reached.
  std::optional<SilentHost> result() {
    const bool ended = answered();
    const int status = ssh_.poll_status();
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) != ssh_failed) return std::nullopt;
    if (!ended) return SilentHost{.name = host_, .why = "ssh: no answer in time"};
    SilentHost out{.name = host_, .why = last_line(), .may_return = false};
    for (const char* part : {"timed out", "No route", "unreachable", "refused", "losed by", "reset", "Broken pipe"})
      out.may_return = out.may_return || says(words_, part);
    return out;
  }

 private:
  void take_words() {
    std::array<char, kept_words> bytes;
    while (::read(ssh_.output(), bytes.data(), bytes.size()) > 0) continue;
    for (ssize_t got = 0; (got = ::read(ssh_.error(), bytes.data(), bytes.size())) > 0;) {
      words_.append(bytes.data(), static_cast<std::size_t>(got));
      words_.erase(0, words_.size() - std::min(words_.size(), kept_words));
    }
  }
  std::string last_line() const {
    const std::size_t end = words_.find_last_not_of("\r\n") + 1;
    if (end == 0) return "ssh: ended without a word";
    const std::size_t before = words_.find_last_of("\r\n", end - 1);
    return words_.substr(before + 1, end - before - 1);
  }

  std::string host_, words_;
  Child ssh_;
};

std::vector<SilentHost> ask(std::span<const std::string> names, const AskLimits& limits, const GoOn& go_on) {
  std::vector<std::unique_ptr<Question>> questions;
  for (const std::string& name : names) questions.push_back(std::make_unique<Question>(name, limits));
  // Each is looked at, also behind one that has not answered: it may have much to say.
  const auto all_answered = [&] {
    return std::ranges::count_if(questions, [](auto& one) { return one->answered(); }) == std::ssize(questions);
  };
  for (const double end = seconds_since_1970() + limits.answer; !all_answered() && seconds_since_1970() < end;)
    if (!go_on()) return {};
  std::vector<SilentHost> out;
  for (const auto& one : questions) {
    if (auto silent = one->result()) out.push_back(*std::move(silent));
  }
  return out;
}

std::vector<SilentHost> ask_in_turn(std::span<const std::string> names, const AskLimits& limits, const GoOn& go_on) {
  std::vector<SilentHost> out;
  for (; !names.empty(); names = names.subspan(std::min(names.size(), asked_at_once))) {
    for (SilentHost& one : ask(names.first(std::min(names.size(), asked_at_once)), limits, go_on))
      out.push_back(std::move(one));
  }
  return out;
}

/// The name that a list has for a host that calls itself `own`.
std::string name_in(const std::vector<HostSlots>& hosts, const std::string& own) {
  const auto named = [&](const auto& is_it) {
    const auto at = std::ranges::find_if(hosts, is_it);
    return at == hosts.end() ? "" : at->name;
  };
  const std::string same = named([&](const HostSlots& one) { return same_host(one.name, own); });
  if (!same.empty()) return same;
  const auto addresses = addresses_of(own);
  return named([&](const HostSlots& one) {
    return std::ranges::any_of(addresses_of(one.name), [&](const std::string& address) {
      return std::ranges::find(addresses, address) != addresses.end();
    });
  });
}

}  // namespace

std::vector<SilentHost> silent_hosts(const std::vector<std::string>& names, const AskLimits& limits,
                                     const GoOn& go_on) {
  std::vector<std::string> others;
  for (const std::string& name : names) {
    if (name != "localhost" && !same_host(name, host_name())) others.push_back(name);
  }
  std::vector<SilentHost> silent = ask_in_turn(others, limits, go_on);
  // An sshd that many ask at once turns some away.
  const auto turned_away = [](const SilentHost& one) { return says(one.why, "losed by") || says(one.why, "reset"); };
  others.clear();
  for (const SilentHost& one : silent) {
    if (turned_away(one)) others.push_back(one.name);
  }
  std::erase_if(silent, turned_away);
  for (const double end = seconds_since_1970() + pause_seconds; !others.empty() && seconds_since_1970() < end;)
    if (!go_on()) return {};
  for (SilentHost& one : ask_in_turn(others, limits, go_on)) silent.push_back(std::move(one));
  // This machine by another name may have no sshd, or no key of its own, and mpirun asks for none.
  std::erase_if(silent, [](const SilentHost& one) {
    const auto refused = [&](const char* part) { return says(one.why, part); };
    const bool there = refused("refused") || refused("denied") || refused("verification failed");
    return there && is_this_machine(one.name);
  });
  return silent;
}

void SpareHosts::leave_out(const std::string& host) const {
  if (same_host(host, host_name())) return;
  const std::string name = name_in(read_hosts(job_.hosts), host);
  if (!name.empty())
    JobDatabase(folder_.jobs_folder()).leave_out({.name = name, .until = seconds_since_1970() + left_out_seconds});
}

SpareHosts::Found SpareHosts::look(const GoOn& go_on) const {
  JobDatabase database(folder_.jobs_folder());
  std::map<std::string, std::optional<SilentHost>> known;
  for (Found found;;) {
    found.place = database.renew(folder_.id(), job_.min_nodes);
    if (!found.place || !asks_hosts(job_)) return found;
    std::vector<std::string> unknown, names;
    for (const HostSlots& host : read_hosts(found.place->hosts)) {
      names.push_back(host.name);
      if (!known.contains(host.name)) unknown.push_back(host.name);
    }
    if (unknown.empty()) {
      for (const auto& [name, silent] : known) {
        if (!silent) continue;
        (std::ranges::find(names, name) == names.end() ? found.left : found.silent).push_back(*silent);
      }
      return found;
    }
    for (const std::string& name : unknown) known[name] = std::nullopt;
    bool wanted = true;
    const auto silent = silent_hosts(unknown, {}, [&] { return wanted = wanted && go_on(); });
    // Who was not heard out has not answered.
    if (!wanted) return found;
    for (const SilentHost& one : silent) known[one.name] = one;
    // One that had been lost and answers is one like others.
    for (const std::string& name : unknown)
      database.leave_out({.name = name, .until = known[name] ? seconds_since_1970() + left_out_seconds : 0});
  }
}

}  // namespace trireme
