#include "launcher/doctor/examination.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/base/error.hpp"
#include "core/io/json_object.hpp"
#include "launcher/doctor/agent.hpp"
#include "launcher/doctor/agent_link.hpp"
#include "launcher/doctor/shared_folder.hpp"
#include "launcher/doctor/sockets.hpp"

namespace trireme {
namespace {

constexpr double sending_seconds = 0.4;
/// Ports tried of a range: these many, evenly spread.
constexpr std::int64_t most_ports = 64;
constexpr std::size_t most_hosts_of_all_pairs = 16;

std::string random_token() {
  std::random_device bits;
  return fmt::format("{:08x}{:08x}", bits(), bits());
}

std::vector<std::int64_t> spread(const PortRange& ports) {
  std::vector<std::int64_t> out;
  const std::int64_t count = std::min(ports.count(), most_ports);
  for (std::int64_t n = 0; n < count; ++n)
    out.push_back(ports.first + (count == 1 ? 0 : n * (ports.count() - 1) / (count - 1)));
  return out;
}

class Examiner {
 public:
  explicit Examiner(const DoctorSettings& settings) : settings_(settings), here_(gather_facts(settings.folders)) {}

  Examination run() {
    start();
    collect_facts();
    for (std::size_t n = 0; n < links_.size(); ++n) guarded(n, [&] { measure_clock(n); });
    look_into_shared();
    if (settings_.links != Links::none && alive().size() > 1) measure_links();
    judge_networks(out_.hosts);
    return std::move(out_);
  }

 private:
  void start() {
    const double begin = steady_now();
    if (settings_.hosts.empty()) {
      links_.emplace_back(here_.host, std::vector<std::string>{here_.program, "doctor-agent"});
    }
    for (const std::string& host : settings_.hosts)
      links_.emplace_back(host, agent_over_ssh(host, here_.program, settings_.seconds));
    for (AgentLink& link : links_) {
      out_.hosts.push_back({.host = link.host()});
      link.ask({{"ask", "facts"}, {"folders", settings_.folders}});
    }
    begun_ = begin;
  }

  void collect_facts() {
    // ssh gives up by itself; the facts (nvidia-smi among them) may take their time, too.
    const double end = begun_ + 2 * settings_.seconds + 5;
    for (std::size_t n = 0; n < links_.size(); ++n) {
      HostReport& report = out_.hosts[n];
      const auto answer = links_[n].answer(std::max(0.1, end - steady_now()));
      if (!links_[n].answers()) {
        silence(n);
        continue;
      }
      if (answer) take_facts(report, *answer);
      if (!report.facts) {
        report.findings.push_back({"trireme", Grade::fault, links_[n].refusal(), "install the same trireme there"});
      }
    }
  }

  void silence(std::size_t n) {
    HostReport& report = out_.hosts[n];
    const AgentLink& link = links_[n];
    report.reached = !is_unreachable(link.problem(), link.code());
    report.findings.push_back(judge_silence(report, link.problem(), link.code(), here_.program));
  }

  void take_facts(HostReport& report, const Json& answer) {
    try {
      report.facts = facts_from_json(answer, report.host);
    } catch (const Error& error) {
      report.findings.push_back({"trireme", Grade::fault, error.what(), "install the same trireme there"});
      return;
    }
    if (!settings_.hosts.empty()) report.findings.push_back({"ssh", Grade::ok, "answers without a password"});
    for (Finding& one : judge_sameness(*report.facts, here_)) report.findings.push_back(std::move(one));
    for (Finding& one : judge_machine(*report.facts)) report.findings.push_back(std::move(one));
  }

  /// An answer of another form costs this host its verdict, and nobody else.
  template <class Take>
  void guarded(std::size_t n, const Take& take) {
    try {
      take();
    } catch (const std::exception& error) {
      out_.hosts[n].findings.push_back({"trireme", Grade::fault, error.what(), "install the same trireme there"});
    }
  }

  /// The answer of one host; a host that falls silent becomes a fault.
  std::optional<Json> answer(std::size_t n, double seconds) {
    if (!links_[n].answers()) return std::nullopt;
    auto found = links_[n].answer(seconds);
    if (!found && !links_[n].answers()) silence(n);
    return found;
  }

  void measure_clock(std::size_t n) {
    if (settings_.hosts.empty() || !out_.hosts[n].facts) return;
    std::vector<ClockSample> samples;
    for (int tries = 0; tries < 8; ++tries) {
      ClockSample sample{.asked = clock_nanoseconds()};
      links_[n].ask({{"ask", "time"}});
      const auto found = answer(n, settings_.seconds);
      if (!found) return;
      sample.answered = clock_nanoseconds();
      sample.there = JsonObject(*found, out_.hosts[n].host, "").count("nanoseconds");
      samples.push_back(sample);
    }
    out_.hosts[n].findings.push_back(judge_clock(estimate_skew(samples)));
  }

  void look_into_shared() {
    if (settings_.shared_folder.empty()) return;
    const std::string token = random_token();
    const SharedFolder folder(settings_.shared_folder, token);
    for (const std::size_t n : alive()) {
      links_[n].ask({{"ask", "shared"},
                     {"folder", settings_.shared_folder},
                     {"token", token},
                     {"host", fmt::format("{}", n)},
                     {"seconds", settings_.seconds}});
    }
    for (const std::size_t n : alive()) {
      const auto found = answer(n, settings_.seconds + 5);
      if (found) guarded(n, [&] { judge_shared(n, JsonObject(*found, out_.hosts[n].host, ""), folder); });
    }
  }

  void judge_shared(std::size_t n, const JsonObject& found, const SharedFolder& folder) {
    const Json& seen = found.value("seen_after");
    const double seen_after = seen.is_number() ? seen.get<double>() : -1;
    const bool written = seen_after >= 0 && folder.wait_for(fmt::format("{}", n), settings_.seconds) >= 0;
    Finding out{
        "shared folder", Grade::ok,
        fmt::format("{}: seen after {:.2f} s, written, locked", settings_.shared_folder, std::max(0.0, seen_after))};
    if (!written) {
      out = {"shared folder", Grade::fault,
             fmt::format("{}: {}", settings_.shared_folder,
                         seen_after < 0 ? fmt::format("what is written here is not seen there within {:g} s {}",
                                                      settings_.seconds, found.text("why"))
                                        : "what is written there is not seen here " + found.text("why")),
             "mount the same file system there; of NFS with -o actimeo=3 or less"};
    } else if (!found.flag("locked")) {
      out = {"shared folder", Grade::warning, fmt::format("{}: locks are not shared", settings_.shared_folder),
             "two jobs could write into one run folder: NFS wants its lock service (not nolock), Lustre -o flock"};
    }
    out_.hosts[n].findings.push_back(out);
  }

  std::vector<std::size_t> alive() const {
    std::vector<std::size_t> out;
    for (std::size_t n = 0; n < links_.size(); ++n) {
      if (links_[n].answers() && out_.hosts[n].facts) out.push_back(n);
    }
    return out;
  }

  void measure_links() {
    token_ = random_token();
    const auto wanted = spread(settings_.ports);
    for (const std::size_t n : alive()) links_[n].ask({{"ask", "listen"}, {"token", token_}, {"ports", wanted}});
    ports_.resize(links_.size());
    for (const std::size_t n : alive()) {
      const auto found = answer(n, settings_.seconds);
      if (found) guarded(n, [&] { take_ports(n, *found); });
    }
    for (const double seconds : {0.0, sending_seconds}) measure_rounds(seconds);
    judge_links(out_.pairs, out_.hosts, settings_.ports);
  }

  void take_ports(std::size_t n, const Json& found) {
    ports_[n] = found.value("open", std::vector<std::int64_t>{});
    const auto taken = found.value("taken", std::vector<std::int64_t>{});
    if (settings_.ports.count() < 1) return;
    const std::string range = fmt::format("{}-{}", settings_.ports.first, settings_.ports.last);
    Finding out{"ports", Grade::ok, range + " free"};
    if (!taken.empty()) {
      out = {"ports", ports_[n].empty() ? Grade::fault : Grade::warning,
             fmt::format("{} of {} are taken, {} among them", taken.size(), range, taken.front()),
             "see who has them: ss -ltnp; choose another range"};
    }
    out_.hosts[n].findings.push_back(out);
  }

  /// In each round every host sends to one other and receives from one.
  void measure_rounds(double seconds) {
    const auto hosts = alive();
    const bool all = settings_.links == Links::all ||
                     (settings_.links == Links::automatic && hosts.size() <= most_hosts_of_all_pairs);
    for (std::size_t shift = 1; shift < (all ? hosts.size() : 2); ++shift) {
      for (std::size_t n = 0; n < hosts.size(); ++n) ask_pair(hosts[n], hosts[(n + shift) % hosts.size()], seconds);
      for (std::size_t n = 0; n < hosts.size(); ++n) {
        guarded(hosts[n], [&] { take_pair(hosts[n], hosts[(n + shift) % hosts.size()], seconds); });
      }
    }
  }

  PairReport& pair_of(std::size_t from, std::size_t to) {
    for (PairReport& pair : out_.pairs) {
      if (pair.from == out_.hosts[from].host && pair.to == out_.hosts[to].host) return pair;
    }
    return out_.pairs.emplace_back(PairReport{.from = out_.hosts[from].host, .to = out_.hosts[to].host});
  }

  void ask_pair(std::size_t from, std::size_t to, double seconds) {
    PairReport& pair = pair_of(from, to);
    if (ports_[to].empty() || (seconds > 0 && !pair.problem.empty())) return;
    PeerQuestion question{.token = token_, .names = {}, .ports = ports_[to], .seconds = seconds};
    if (seconds > 0) question.ports = {first_open(pair, to)};
    // A name of ~/.ssh/config may be none for others.
    question.names = {pair.to};
    for (const NetworkCard& card : out_.hosts[to].facts->cards) {
      for (const std::string& address : card.addresses) {
        if (question.names.size() < 3) question.names.push_back(bare_address(address));
      }
    }
    if (seconds > 0) question.streams = static_cast<std::int64_t>(std::clamp(pair.expected / 12, 1.0, 8.0));
    links_[from].ask(to_json(question));
  }

  std::int64_t first_open(const PairReport& pair, std::size_t to) const {
    for (const std::int64_t port : ports_[to]) {
      if (std::ranges::find(pair.blocked, port) == pair.blocked.end()) return port;
    }
    return ports_[to].front();
  }

  void take_pair(std::size_t from, std::size_t to, double seconds) {
    PairReport& pair = pair_of(from, to);
    if (ports_[to].empty() || (seconds > 0 && !pair.problem.empty())) return;
    const auto json = answer(from, 45);
    if (!json) return;
    const PeerAnswer found = peer_answer_from_json(*json, pair.from);
    if (seconds > 0) {
      pair.gigabits = found.gigabits;
      return;
    }
    pair.round_trip = found.round_trip;
    pair.local = found.local;
    if (found.name.empty()) {
      pair.problem = found.problem;
      return;
    }
    pair.blocked = found.blocked;
    pair.expected = settings_.expected_gigabits > 0 ? settings_.expected_gigabits
                                                    : expected_gigabits(*out_.hosts[from].facts, found.local,
                                                                        *out_.hosts[to].facts, address_of(to, found));
  }

  /// The other end's address: the one the name stood for, or of its card in the same network.
  std::string address_of(std::size_t to, const PeerAnswer& found) const {
    const MachineFacts& facts = *out_.hosts[to].facts;
    for (const NetworkCard& card : facts.cards) {
      for (const std::string& address : card.addresses) {
        const std::string network = network_of(address);
        const std::string length = address.substr(address.find('/'));
        if (bare_address(address) == found.name || (!network.empty() && network_of(found.local + length) == network))
          return bare_address(address);
      }
    }
    return "";
  }

  const DoctorSettings& settings_;
  MachineFacts here_;
  std::vector<AgentLink> links_;
  Examination out_;
  double begun_ = 0;
  std::string token_;
  std::vector<std::vector<std::int64_t>> ports_;
};

}  // namespace

Examination examine(const DoctorSettings& settings) { return Examiner(settings).run(); }

}  // namespace trireme
