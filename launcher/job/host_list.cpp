#include "launcher/job/host_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "core/base/error.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

std::int64_t slots_of(const std::string& text, const std::string& place) {
  std::int64_t slots = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), slots);
  if (error != std::errc{} || end != text.data() + text.size() || slots < 1 || slots > 65536) {
    fail(ExitCode::usage, "{}: found '{}' slots, wanted a whole number from 1 to 65536", place, harmless(text));
  }
  return slots;
}

/// A name must not be taken for an option of ssh or mpirun.
void check_name(const std::string& name, const std::string& place) {
  const bool good = !name.empty() && name.find_first_not_of(std::string(letters) + "._-") == std::string::npos &&
                    name.front() != '-' && name.front() != '.';
  if (good) return;
  fail(ExitCode::usage, "{}: found the host '{}', wanted letters, digits, '.', '_' and '-', or an IPv6 address in []",
       place, harmless(name));
}

void check_ipv6(const std::string& address, const std::string& place) {
  const std::string number = address.substr(0, address.find('%'));
  const std::string zone = address.substr(number.size());
  const bool good = number.find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos &&
                    std::ranges::count(number, ':') >= 2 && zone != "%" &&
                    zone.find_first_not_of(std::string(letters) + "%_-") == std::string::npos;
  if (!good) fail(ExitCode::usage, "{}: found '[{}]', wanted an IPv6 address in []", place, harmless(address));
}

/// NAME, NAME:N, [ADDRESS] or [ADDRESS]:N.
HostSlots read_host(const std::string& word, const std::string& place) {
  HostSlots host;
  std::string rest;
  if (word.starts_with('[')) {
    const std::size_t close = word.find(']');
    if (close == std::string::npos) fail(ExitCode::usage, "{}: '{}' has no ']'", place, harmless(word));
    host.name = word.substr(1, close - 1);
    check_ipv6(host.name, place);
    rest = word.substr(close + 1);
  } else {
    host.name = word.substr(0, word.find(':'));
    rest = word.substr(host.name.size());
    if (std::ranges::count(rest, ':') > 1) {
      fail(ExitCode::usage, "{}: found '{}'; write an IPv6 address in brackets: [{}]", place, harmless(word),
           harmless(word));
    }
    check_name(host.name, place);
  }
  if (rest.empty()) return host;
  if (rest.front() != ':') fail(ExitCode::usage, "{}: found '{}' behind ']', wanted ':N'", place, harmless(rest));
  host.slots = slots_of(rest.substr(1), place);
  return host;
}

/// What stands behind the name on a line of a hostfile.
void read_counts(std::istringstream& words, HostSlots& host, const std::string& place) {
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const bool slots = key == "slots";
    if (equals == std::string::npos || (!slots && key != "max_slots" && key != "max-slots")) {
      fail(ExitCode::usage, "{}: found '{}', wanted slots=N or max_slots=N", place, harmless(word));
    }
    const std::int64_t count = slots_of(word.substr(equals + 1), place);
    if (!slots) continue;
    if (host.slots != 0) fail(ExitCode::usage, "{}: host '{}' has two numbers of slots", place, host.name);
    host.slots = count;
  }
}

void add_line(std::vector<HostSlots>& hosts, std::set<std::string>& repeated, HostSlots host,
              const std::string& place) {
  const auto same = [&](const HostSlots& one) { return one.name == host.name; };
  const auto known = std::ranges::find_if(hosts, same);
  if (known == hosts.end()) return hosts.push_back(std::move(host));
  const bool counted = host.slots != 0 || (known->slots != 0 && !repeated.contains(host.name));
  if (counted) {
    fail(ExitCode::usage, "{}: host '{}' is there already; give it one line with slots=N", place, host.name);
  }
  known->slots = std::max<std::int64_t>(known->slots, 1) + 1;
  repeated.insert(host.name);
}

std::vector<std::string> names_in(const std::string& list, const std::vector<HostSlots>& hosts, const char* option) {
  std::vector<std::string> known, names;
  for (const HostSlots& host : hosts) known.push_back(host.name);
  std::string text = list;
  std::ranges::replace(text, '@', ',');
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    if (part.starts_with('[') && part.ends_with(']')) part = part.substr(1, part.size() - 2);
    if (std::ranges::find(known, part) != known.end()) {
      names.push_back(part);
      continue;
    }
    const std::string nearest = nearest_name(part, known);
    fail(ExitCode::usage, "{} '{}': no host of the list is called '{}'{}{}", option, harmless(list), harmless(part),
         nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
         part.find(':') == std::string::npos ? "" : "; single slots are not chosen: give the host another slots=N");
  }
  return names;
}

}  // namespace

std::vector<HostSlots> read_hosts(const std::string& list) {
  const std::string place = fmt::format("--hosts '{}'", harmless(list));
  std::vector<HostSlots> hosts;
  for (std::size_t begin = 0; !list.empty() && begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    HostSlots host = read_host(list.substr(begin, end - begin), place);
    const auto same = [&](const HostSlots& one) { return one.name == host.name; };
    if (std::ranges::any_of(hosts, same)) fail(ExitCode::usage, "{}: host '{}' is there twice", place, host.name);
    hosts.push_back(std::move(host));
    begin = end + 1;
  }
  return hosts;
}

std::vector<HostSlots> read_hostfile(const std::string& text, const std::string& path) {
  std::vector<HostSlots> hosts;
  std::set<std::string> repeated;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string place = fmt::format("{}:{}", path, ++number);
    std::istringstream words(line.substr(0, line.find('#')));
    std::string first;
    if (!(words >> first)) continue;
    HostSlots host = read_host(first, place);
    read_counts(words, host, place);
    add_line(hosts, repeated, std::move(host), place);
  }
  if (hosts.empty()) fail(ExitCode::usage, "the hostfile '{}' names no host", path);
  return hosts;
}

std::vector<HostSlots> filtered(const std::vector<HostSlots>& hosts, const HostFilter& filter) {
  const auto included = names_in(filter.include, hosts, "--include");
  const auto excluded = names_in(filter.exclude, hosts, "--exclude");
  const auto in = [](const std::vector<std::string>& names, const HostSlots& host) {
    return std::ranges::find(names, host.name) != names.end();
  };
  std::vector<HostSlots> out;
  for (const HostSlots& host : hosts) {
    if ((included.empty() || in(included, host)) && !in(excluded, host)) out.push_back(host);
  }
  if (out.empty() && !hosts.empty()) fail(ExitCode::usage, "--include and --exclude leave no host of the list");
  return out;
}

std::string host_list(const std::vector<HostSlots>& hosts, std::int64_t share) {
  std::string out;
  for (const HostSlots& host : hosts) {
    const bool ipv6 = host.name.find(':') != std::string::npos;
    out += fmt::format("{}{}{}{}:{}", out.empty() ? "" : ",", ipv6 ? "[" : "", host.name, ipv6 ? "]" : "",
                       host.slots > 0 ? host.slots : share);
  }
  return out;
}

std::string hostfile_text(const std::vector<HostSlots>& hosts, std::int64_t share) {
  std::string out;
  for (const HostSlots& host : hosts)
    out += fmt::format("{} slots={}\n", host.name, host.slots > 0 ? host.slots : share);
  return out;
}

bool has_ipv6(const std::vector<HostSlots>& hosts) {
  return std::ranges::any_of(hosts, [](const HostSlots& host) { return host.name.find(':') != std::string::npos; });
}

}  // namespace trireme
