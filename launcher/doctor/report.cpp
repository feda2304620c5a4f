#include "launcher/doctor/report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.hpp"
#include "launcher/doctor/words.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

std::string text_of(const HostReport& host) {
  TextTable table({{"check"}, {"verdict"}, {"found"}});
  std::string advice;
  for (const Finding& one : host.findings) {
    table.add({one.check, to_text(one.verdict), one.found});
    if (!one.remedy.empty()) advice += fmt::format("  -> {}: {}\n", one.check, harmless(one.remedy));
  }
  return fmt::format("{}: {}\n{}{}\n", harmless(host.host), to_text(host.verdict()), table.text(), advice);
}

std::string text_of(const std::vector<PairReport>& pairs) {
  if (pairs.empty()) return "";
  TextTable table({{"from"},
                   {"to"},
                   {"round trip", Align::right},
                   {"Gbit/s", Align::right},
                   {"expected", Align::right},
                   {"verdict"}});
  for (const PairReport& pair : pairs) {
    const bool talked = pair.round_trip > 0;
    table.add({pair.from, pair.to, talked ? time_text(pair.round_trip) : "-",
               pair.gigabits >= 0 ? fmt::format("{:.3g}", pair.gigabits) : "-",
               pair.expected > 0 ? fmt::format("{:g}", pair.expected) : "-", to_text(pair.verdict)});
  }
  return "links\n" + table.text() + "\n";
}

Json to_json(const Finding& finding) {
  return {{"check", finding.check},
          {"verdict", to_text(finding.verdict)},
          {"found", finding.found},
          {"remedy", finding.remedy}};
}

Json to_json(const PairReport& pair) {
  return {{"from", pair.from},
          {"to", pair.to},
          {"round_trip", pair.round_trip},
          {"gigabits", pair.gigabits},
          {"expected", pair.expected},
          {"blocked", pair.blocked},
          {"problem", pair.problem},
          {"verdict", to_text(pair.verdict)}};
}

}  // namespace

std::string to_report(const Examination& examination) {
  std::string out;
  std::size_t counts[3] = {};
  for (const HostReport& host : examination.hosts) {
    out += text_of(host);
    ++counts[static_cast<std::size_t>(host.verdict())];
  }
  return out + text_of(examination.pairs) +
         fmt::format("{} examined: {} ok, {} with warnings, {} with faults\n", examination.hosts.size(), counts[0],
                     counts[1], counts[2]);
}

Json to_json(const Examination& examination) {
  Json out = {{"code", exit_code_of(examination)}, {"hosts", Json::array()}, {"links", Json::array()}};
  for (const HostReport& host : examination.hosts) {
    Json one = {{"host", host.host},
                {"reached", host.reached},
                {"verdict", to_text(host.verdict())},
                {"facts", host.facts ? to_json(*host.facts) : Json()},
                {"findings", Json::array()}};
    for (const Finding& finding : host.findings) one["findings"].push_back(to_json(finding));
    out["hosts"].push_back(std::move(one));
  }
  for (const PairReport& pair : examination.pairs) out["links"].push_back(to_json(pair));
  return out;
}

int exit_code_of(const Examination& examination) {
  const auto unreached = [](const HostReport& host) { return !host.reached; };
  if (std::ranges::any_of(examination.hosts, unreached)) return static_cast<int>(ExitCode::peer_lost);
  const auto faulty = [](const HostReport& host) { return host.verdict() == Grade::fault; };
  const auto bad_link = [](const PairReport& pair) { return pair.verdict == Grade::fault; };
  const bool fault = std::ranges::any_of(examination.hosts, faulty) || std::ranges::any_of(examination.pairs, bad_link);
  return static_cast<int>(fault ? ExitCode::failure : ExitCode::done);
}

}  // namespace trireme
