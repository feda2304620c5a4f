#include "launcher/job/hang_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <tuple>
#include <vector>

#include "comm/agreement.hpp"
#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/rank_watch.hpp"

namespace trireme {
namespace {

bool is_message(const std::string& operation) {
  return operation == "send" || operation == "recv" || operation == "exchange";
}

using Texts = std::set<std::string>;

/// Several communicators may have one name (one stands on the other) and so several calls one number; a rank may have
/// forgotten some, but none has one that another lacks and the other way round.
bool differ(const std::map<int, Texts>& of_ranks) {
  const auto holds = [](const Texts& all, const Texts& some) { return std::ranges::includes(all, some); };
  const auto largest = std::ranges::max_element(of_ranks, {}, [](const auto& one) { return one.second.size(); });
  return std::ranges::any_of(of_ranks, [&](const auto& one) { return !holds(largest->second, one.second); });
}

}  // namespace

void HangReport::whole(int rank, const std::string& text) {
  part(rank, text);
  try {
    ranks_[rank] = Json::parse(parts_[rank]);
  } catch (const Json::exception&) {
    ranks_[rank] = Json{{"damaged", parts_[rank].size()}};
  }
  parts_.erase(rank);
}

std::string HangReport::first_difference() const {
  std::map<std::tuple<std::string, std::uint64_t>, std::map<int, Texts>> calls;
  for (const auto& [rank, report] : ranks_) {
    if (!report.contains("calls_kept")) continue;
    for (const Json& one : report.at("calls_kept")) {
      const RankCall call{.communicator = one.at(0),
                          .operation = one.at(2),
                          .dtype = one.at(3),
                          .sequence = one.at(1),
                          .count = one.at(4)};
      if (!is_message(call.operation)) calls[{call.communicator, call.sequence}][rank].insert(call.text());
    }
  }
  for (const auto& [key, of_ranks] : calls) {
    if (!differ(of_ranks)) continue;
    std::map<std::string, std::vector<int>> by_text;
    for (const auto& [rank, texts] : of_ranks) by_text[fmt::format("{}", fmt::join(texts, " and "))].push_back(rank);
    std::string out;
    for (const auto& [text, ranks] : by_text)
      out += fmt::format("{}{} made {}", out.empty() ? "" : ", ", rank_list(ranks), text);
    return out;
  }
  return {};
}

std::string HangReport::write(const std::string& folder, const Watchdog& watchdog, int ranks) const {
  Json all = Json::array();
  for (int rank = 0; rank < ranks; ++rank) {
    Json one{{"rank", rank}};
    const auto known = ranks_.find(rank);
    if (known != ranks_.end()) {
      one.update(known->second);
    } else if (const RankSample* sample = watchdog.sample(rank)) {
      one.update(to_json(*sample));
    }
    all.push_back(std::move(one));
  }
  const Json out{{"verdict", to_json(verdict_)},
                 {"first_difference", first_difference()},
                 {"call_columns", call_columns()},
                 {"ranks", std::move(all)}};
  const std::string path = folder + "/hang.json";
  write_file_atomically(path, out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  return path;
}

void write_verdict(const std::string& folder, const Verdict& verdict) {
  write_file_atomically(folder + "/verdict.json",
                        to_json(verdict).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<Verdict> read_verdict(const std::string& folder) {
  const std::string path = folder + "/verdict.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const Json json = Json::parse(read_file(path, std::size_t{1} << 20));
    Verdict out{.code = json.at("code"), .rank = json.at("rank"), .host = json.at("host"), .text = json.at("text")};
    for (const auto kind :
         {Verdict::Kind::stopped, Verdict::Kind::stuck, Verdict::Kind::mismatch, Verdict::Kind::lost}) {
      if (json.at("kind") == name_of(kind)) out.kind = kind;
    }
    return out;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace trireme
