// Verdicts that take more than one host: links, ports and networks.
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "launcher/doctor/findings.hpp"
#include "launcher/doctor/words.hpp"

namespace trireme {
namespace {

HostReport* find_host(std::vector<HostReport>& hosts, const std::string& name) {
  const auto at = std::ranges::find_if(hosts, [&](const HostReport& one) { return one.host == name; });
  return at == hosts.end() ? nullptr : &*at;
}

double card_gigabits(const MachineFacts& facts, const std::string& address) {
  for (const NetworkCard& card : facts.cards) {
    const auto same = [&](const std::string& one) { return bare_address(one) == address; };
    if (std::ranges::any_of(card.addresses, same)) return static_cast<double>(card.megabits) / 1000;
  }
  return 0;
}

double median_gigabits(const std::vector<PairReport>& pairs) {
  std::vector<double> rates;
  for (const PairReport& pair : pairs) {
    if (pair.gigabits > 0) rates.push_back(pair.gigabits);
  }
  // Of two hosts neither is the odd one.
  if (rates.size() < 6) return 0;
  std::ranges::sort(rates);
  return rates[rates.size() / 2];
}

Grade speed_of(const PairReport& pair, double median) {
  if (pair.gigabits < 0) return Grade::ok;
  const double wanted = pair.expected > 0 ? pair.expected : median;
  if (wanted <= 0 || pair.gigabits >= wanted / 2) return Grade::ok;
  return pair.gigabits < wanted / 10 ? Grade::fault : Grade::warning;
}

struct Direction {
  std::string PairReport::*of;     // the end that is looked at
  std::string PairReport::*other;  // the one it talks to
  const char* verb;
};
constexpr Direction sending{&PairReport::from, &PairReport::to, "sends"},
    receiving{&PairReport::to, &PairReport::from, "receives"};

/// What `host` has to do with slow pairs: nothing where only some of its pairs in this direction are slow.
bool add_slow(const std::vector<PairReport>& pairs, HostReport& host, const Direction& direction) {
  double slowest = 0, wanted = 0;
  Grade worst = Grade::ok;
  std::size_t all = 0, slow = 0;
  for (const PairReport& pair : pairs) {
    if (pair.*direction.of != host.host || pair.gigabits < 0) continue;
    ++all;
    if (pair.speed == Grade::ok) continue;
    if (++slow == 1 || pair.gigabits < slowest) slowest = pair.gigabits;
    wanted = std::max(wanted, pair.expected);
    worst = std::max(worst, pair.speed);
  }
  if (slow == 0 || slow < all) return false;
  host.findings.push_back(
      {"link", worst,
       fmt::format("{} slowly, {:.3g} Gbit/s at worst{}", direction.verb, slowest,
                   wanted > 0 ? fmt::format(", expected {:g}", wanted) : ", less than half of what others do"),
       "its cable, port or card runs below its speed, or other jobs use it: ethtool on the card, the switch's "
       "counters; "
       "leave it out by --exclude"});
  return true;
}

void add_ports(const std::vector<PairReport>& pairs, HostReport& host, const PortRange& ports) {
  std::set<std::int64_t> blocked;
  std::set<std::string> from, closed_from;
  std::string problem;
  for (const PairReport& pair : pairs) {
    if (pair.to != host.host) continue;
    blocked.insert(pair.blocked.begin(), pair.blocked.end());
    if (!pair.blocked.empty()) from.insert(pair.from);
    if (pair.problem.empty()) continue;
    closed_from.insert(pair.from);
    problem = pair.problem;
  }
  if (!closed_from.empty()) {
    const bool range = ports.count() > 0;
    host.findings.push_back(
        {"link", Grade::fault, fmt::format("no connection from {}: {}", fmt::join(closed_from, ", "), problem),
         range ? fmt::format("let its firewall take TCP ports {}-{} from the other hosts", ports.first, ports.last)
               : "is there a route, and a firewall? Open a range of ports there and name it: --ports FIRST-LAST, of "
                 "launch, too"});
  } else if (!blocked.empty()) {
    host.findings.push_back(
        {"ports", Grade::fault, fmt::format("closed to {}: {}", fmt::join(from, ", "), fmt::join(blocked, ", ")),
         fmt::format(
             "its firewall must take TCP ports {}-{} from the other hosts: ufw allow proto tcp to any port {}:{}",
             ports.first, ports.last, ports.first, ports.last)});
  }
}

}  // namespace

double expected_gigabits(const MachineFacts& from, const std::string& local, const MachineFacts& to,
                         const std::string& remote) {
  const double here = card_gigabits(from, local), there = card_gigabits(to, remote);
  return std::min(here, there);
}

void judge_links(std::vector<PairReport>& pairs, std::vector<HostReport>& hosts, const PortRange& ports) {
  const double median = median_gigabits(pairs);
  for (PairReport& pair : pairs) {
    pair.speed = speed_of(pair, median);
    pair.verdict = pair.problem.empty() && pair.blocked.empty() ? pair.speed : Grade::fault;
  }
  for (HostReport& host : hosts) {
    add_ports(pairs, host, ports);
    if (add_slow(pairs, host, sending)) continue;
    add_slow(pairs, host, receiving);
  }
  for (const PairReport& pair : pairs) {
    if (pair.speed == Grade::ok) continue;
    HostReport* from = find_host(hosts, pair.from);
    HostReport* to = find_host(hosts, pair.to);
    const auto named = [](const Finding& one) { return one.check == "link"; };
    if (from == nullptr || to == nullptr || std::ranges::any_of(from->findings, named) ||
        std::ranges::any_of(to->findings, named)) {
      continue;
    }
    from->findings.push_back({"link", pair.speed, fmt::format("slow to {}: {:.3g} Gbit/s", pair.to, pair.gigabits),
                              "only this way is slow: look at the route and the switches between them"});
  }
}

void judge_networks(std::vector<HostReport>& hosts) {
  std::map<std::string, std::size_t> owners;
  for (const HostReport& host : hosts) {
    std::set<std::string> own;
    for (const NetworkCard& card : host.facts ? host.facts->cards : std::vector<NetworkCard>{}) {
      if (is_inner_card(card)) own.insert(card.addresses.begin(), card.addresses.end());
    }
    for (const std::string& address : own) ++owners[network_of(address)];
  }
  for (HostReport& host : hosts) {
    if (!host.facts) continue;
    std::vector<std::string> names, networks;
    for (const NetworkCard& card : host.facts->cards) {
      const auto shared = [&](const std::string& address) {
        return owners[network_of(address)] > 1 && !network_of(address).empty();
      };
      if (!is_inner_card(card) || std::ranges::none_of(card.addresses, shared)) continue;
      names.push_back(card.name);
      networks.push_back(card.addresses.front());
    }
    if (names.empty()) continue;
    host.findings.push_back(
        {"network", Grade::warning,
         fmt::format("{} ({}) has the same network on other hosts, but leads to none of them", fmt::join(names, ", "),
                     fmt::join(networks, ", ")),
         "MPI would try it and wait: --mpirun-options \"" + mpi_network_words("exclude", names) + "\""});
  }
}

}  // namespace trireme
