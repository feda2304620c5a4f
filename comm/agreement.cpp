#include "comm/agreement.hpp"

#include <fmt/ranges.h>

#include <map>
#include <ranges>
#include <set>
#include <string_view>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/io/hash.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_listed = 5;

std::string pack(const NamedTexts& options) {
  std::string out;
  for (const auto& [name, value] : options) {
    out += fmt::format("{} {} ", name.size(), value.size());
    out += name;
    out += value;
  }
  return out;
}

NamedTexts unpack(std::string_view text) {
  NamedTexts out;
  const auto number = [&] {
    const auto space = text.find(' ');
    const auto value = std::stoul(std::string(text.substr(0, space)));
    text.remove_prefix(space + 1);
    return value;
  };
  while (!text.empty()) {
    const auto name = number(), value = number();
    out.emplace_back(text.substr(0, name), text.substr(name, value));
    text.remove_prefix(name + value);
  }
  return out;
}

}  // namespace

std::string rank_list(const std::vector<int>& ranks) {
  std::string out;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (!out.empty()) out += ", ";
    out += last == i ? fmt::format("{}", ranks[i]) : fmt::format("{}-{}", ranks[i], ranks[last]);
    i = last + 1;
  }
  return (ranks.size() == 1 ? "rank " : "ranks ") + out;
}

std::string disagreement(const std::vector<NamedTexts>& of_ranks) {
  std::map<std::string, std::map<std::string, std::vector<int>>> seen;
  for (std::size_t r = 0; r < of_ranks.size(); ++r) {
    for (const auto& [name, value] : of_ranks[r]) seen[name]["'" + value + "'"].push_back(narrow<int>(r));
  }
  std::string out;
  std::size_t listed = 0;
  for (auto& [name, values] : seen) {
    std::set<int> missing;
    for (std::size_t r = 0; r < of_ranks.size(); ++r) missing.insert(narrow<int>(r));
    for (const auto& [value, ranks] : values) {
      for (const int r : ranks) missing.erase(r);
    }
    if (!missing.empty()) values["not given"] = {missing.begin(), missing.end()};
    if (values.size() < 2 || listed++ >= most_listed) continue;
    out += (out.empty() ? "" : "; ") + name + " is ";
    std::map<int, std::string> by_first_rank;
    for (const auto& [value, ranks] : values)
      by_first_rank[ranks.front()] = fmt::format("{} on {}", value, rank_list(ranks));
    out += fmt::format("{}", fmt::join(by_first_rank | std::views::values, " and "));
  }
  if (listed > most_listed) out += fmt::format("; and {} more", listed - most_listed);
  return out;
}

void check_agreement(Communicator& comm, const NamedTexts& options) {
  std::vector<NamedTexts> of_ranks;
  for (const auto& text : comm.all_gather_text(pack(options))) of_ranks.push_back(unpack(text));
  const auto difference = disagreement(of_ranks);
  if (difference.empty()) return;
  fail(ExitCode::disagree, "the ranks were started with different options: {}. Start all ranks alike", difference);
}

void check_same(Communicator& comm, const Tensor& values, const std::string& what) {
  const Tensor host = values.device() == Device::cpu() ? values : values.clone(Device::cpu());
  const auto sums = comm.all_gather_text(hash_bytes(host.raw(), host.bytes()).hex());
  for (int r = 1; r < comm.size(); ++r) {
    if (sums[to_size(r)] == sums[0]) continue;
    fail(ExitCode::disagree, "{} of rank {} on host {} differ from those of rank 0 on host {}", what, r,
         comm.host_of(r), comm.host_of(0));
  }
}

}  // namespace trireme
