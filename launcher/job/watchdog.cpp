#include "launcher/job/watchdog.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/agreement.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

/// Between two questions; longer, and this process was not there to listen.
constexpr double absence_seconds = 5;
/// In the checked mode only tiny messages pass while calls are compared.
constexpr double compare_seconds = 2.5;
constexpr double window_seconds = 2;
/// CPU time, as part of the time, of a process that only waits.
constexpr double idle_share = 0.02;
/// A rank is a straggler where the others wait for this much more of the time than it does, in half of all windows.
constexpr double straggler_share = 0.2;
constexpr int straggler_windows = 3;

int code(ExitCode value) { return static_cast<int>(value); }

std::string at_step(const RankSample& sample) {
  std::string out = sample.phase.empty() ? "" : " in phase " + sample.phase;
  if (sample.step >= 0) out += fmt::format(" of step {}", sample.step);
  return out;
}

std::string doing(const RankSample& sample) {
  switch (sample.state) {
    case 'D':
      return "waits for a disk or a network file system";
    case 'R':
      return "computes";
    case 'Z':
      return "is dead and not yet gone";
    default:
      return "sleeps";
  }
}

}  // namespace

void WatchLimits::declare(OptionGroup& group) {
  group.add("hang-timeout", &hang, "seconds without a sign of life after which a rank hangs; 0: never", {.low = 0})
      .add("start-timeout", &start, "the same before the first step", {.low = 0})
      .add("checkpoint-timeout", &checkpoint, "the same while a checkpoint is written", {.low = 0})
      .add("validation-timeout", &validation, "the same while samples are evaluated", {.low = 0})
      .add("lost-timeout", &lost, "seconds without a word of a host after which it is lost; 0: never", {.low = 0});
}

double WatchLimits::of(const std::string& phase) const {
  if (phase == "start") return start;
  if (phase == "checkpoint") return checkpoint;
  return phase == "validation" ? validation : hang;
}

std::vector<std::string> WatchLimits::words() const {
  const WatchLimits usual;
  std::vector<std::string> out;
  const auto add = [&](const char* name, double value, double standard) {
    if (value != standard) out.push_back(fmt::format("--{}={}", name, value));
  };
  add("hang-timeout", hang, usual.hang);
  add("start-timeout", start, usual.start);
  add("checkpoint-timeout", checkpoint, usual.checkpoint);
  add("validation-timeout", validation, usual.validation);
  add("lost-timeout", lost, usual.lost);
  return out;
}

std::string name_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::stopped:
      return "stopped";
    case Verdict::Kind::mismatch:
      return "mismatch";
    case Verdict::Kind::lost:
      return "lost";
    default:
      return "stuck";
  }
}

Json to_json(const Verdict& verdict) {
  return Json{{"kind", name_of(verdict.kind)},
              {"code", verdict.code},
              {"rank", verdict.rank},
              {"host", verdict.host},
              {"text", verdict.text}};
}

void Watchdog::heard(int rank, const RankSample& sample, double now) {
  Seen& seen = seen_[rank];
  seen.stopped_since = !sample.stopped() ? 0 : seen.stopped_since > 0 ? seen.stopped_since : now;
  seen.sample = sample;
  seen.at = now;
}

void Watchdog::ended(int rank) { seen_[rank].ended = true; }

const RankSample* Watchdog::sample(int rank) const {
  const auto at = seen_.find(rank);
  return at == seen_.end() ? nullptr : &at->second.sample;
}

double Watchdog::still(const Seen& seen, double now) const {
  const double listened = now - listening_since_;
  if (seen.sample.attached) return std::min(listened, seen.sample.still + (now - seen.at));
  return seen.stopped_since > 0 ? std::min(listened, now - seen.stopped_since) : 0;
}

/// A rank that is stopped gets on with nothing, whatever its phase.
double Watchdog::limit(const Seen& seen) const {
  const double of_phase = seen.sample.attached ? setup_.limits.of(seen.sample.phase) : setup_.limits.hang;
  return seen.sample.stopped() ? std::min(of_phase, setup_.limits.hang) : of_phase;
}

bool Watchdog::overdue(const Seen& seen, double now) const {
  const double most = limit(seen);
  return !seen.ended && most > 0 && still(seen, now) > most;
}

std::optional<Verdict> Watchdog::judge(double now) {
  if (last_judged_ < 0 || now > last_judged_ + absence_seconds) {
    for (auto& [rank, seen] : seen_) seen.at = now;
    listening_since_ = now;
    window_began_ = -1;
  }
  last_judged_ = now;
  measure_waits(now);
  for (const auto judge_of : {&Watchdog::judge_hosts, &Watchdog::judge_silence, &Watchdog::judge_stopped,
                              &Watchdog::judge_stuck, &Watchdog::judge_calls}) {
    if (auto verdict = (this->*judge_of)(now)) return verdict;
  }
  return std::nullopt;
}

/// A host is lost when none of its ranks is heard of. This one is not: its words need no network.
std::optional<Verdict> Watchdog::judge_hosts(double now) const {
  if (setup_.limits.lost <= 0) return std::nullopt;
  std::map<std::string, std::vector<int>> silent;
  std::vector<std::string> alive;
  for (const auto& [rank, seen] : seen_) {
    const bool quiet = !seen.ended && now > seen.at + setup_.limits.lost;
    if (seen.sample.host.empty() || seen.sample.host == setup_.own_host) continue;
    if (quiet) {
      silent[seen.sample.host].push_back(rank);
    } else if (!seen.ended) {
      alive.push_back(seen.sample.host);
    }
  }
  for (const auto& [host, ranks] : silent) {
    if (std::ranges::find(alive, host) != alive.end()) continue;
    const RankSample& last = seen_.at(ranks.front()).sample;
    Verdict out{.kind = Verdict::Kind::lost, .code = code(ExitCode::peer_lost), .rank = ranks.front(), .host = host};
    out.text = fmt::format("host {} is lost: no word of {} for {:.0f} s; the last one was{}", host, rank_list(ranks),
                           setup_.limits.lost, at_step(last));
    return out;
  }
  return std::nullopt;
}

/// A rank whose wrapper is stopped, too.
std::optional<Verdict> Watchdog::judge_silence(double now) const {
  for (const auto& [rank, seen] : seen_) {
    if (seen.ended || seen.sample.host.empty()) continue;
    const double most = std::max(limit(seen), setup_.limits.lost);
    if (limit(seen) <= 0 || now <= seen.at + most) continue;
    return blame(Verdict::Kind::lost, rank, fmt::format("was not heard of for {:.0f} s", now - seen.at));
  }
  return std::nullopt;
}

std::optional<Verdict> Watchdog::judge_stopped(double now) const {
  std::optional<Verdict> out;
  double longest = 0;
  for (const auto& [rank, seen] : seen_) {
    if (!seen.sample.stopped() || !overdue(seen, now) || still(seen, now) <= longest) continue;
    longest = still(seen, now);
    const char* by = seen.sample.state == 't' ? "a debugger" : "a signal such as SIGSTOP";
    out = blame(Verdict::Kind::stopped, rank, fmt::format("is stopped by {}, for {:.0f} s", by, longest));
  }
  return out;
}

/// Whoever stood still first while not waiting for others; the others stopped after it, for want of it. One that nobody
/// waits for may compute as long as it likes: only if it does nothing at all it hangs.
std::optional<Verdict> Watchdog::judge_stuck(double now) const {
  const bool awaited =
      std::ranges::any_of(seen_, [](const auto& one) { return !one.second.ended && one.second.sample.in_call(); });
  std::optional<Verdict> out;
  double longest = 0;
  bool any_overdue = false, any_waiting = false;
  for (const auto& [rank, seen] : seen_) {
    if (!overdue(seen, now)) continue;
    any_overdue = true;
    if (seen.sample.in_call()) {
      any_waiting = true;
      continue;
    }
    const bool idle = seen.sample.still_processor < idle_share * seen.sample.still;
    if (still(seen, now) <= longest || !(awaited || idle)) continue;
    longest = still(seen, now);
    out = blame(Verdict::Kind::stuck, rank,
                fmt::format("is stuck: no sign of life for {:.0f} s; its main thread {}", longest, doing(seen.sample)));
  }
  if (!any_overdue || any_waiting) return out;
  // All others wait inside the start for one whose program has not come to it.
  for (const auto& [rank, seen] : seen_) {
    if (!seen.ended && !seen.sample.attached)
      return blame(Verdict::Kind::stuck, rank, "has not come to the start of its program, for which the others wait");
  }
  return out;
}

/// All wait for each other.
std::optional<Verdict> Watchdog::judge_calls(double now) const {
  bool all_overdue = true, all_compare = true;
  int live = 0, first = -1;
  for (const auto& [rank, seen] : seen_) {
    if (seen.ended) continue;
    if (first < 0) first = rank;
    ++live;
    if (!seen.sample.attached || !seen.sample.in_call()) return std::nullopt;
    all_overdue = all_overdue && overdue(seen, now);
    all_compare = all_compare && seen.sample.comparing && still(seen, now) > compare_seconds;
  }
  if (live == 0 || static_cast<int>(seen_.size()) < setup_.ranks) return std::nullopt;
  const bool differ = calls_differ();
  if (!(all_compare && differ) && !all_overdue) return std::nullopt;
  Verdict out{.kind = differ ? Verdict::Kind::mismatch : Verdict::Kind::stuck,
              .code = code(all_compare && differ ? ExitCode::disagree : ExitCode::hang),
              .rank = first,
              .host = seen_.at(first).sample.host};
  const std::string gone =
      live < setup_.ranks ? fmt::format("; {} of {} ranks have ended", setup_.ranks - live, setup_.ranks) : "";
  out.text = differ ? fmt::format("the ranks wait for each other in different calls: {}{}", calls_text(), gone)
                    : fmt::format("all ranks wait in the same call, which does not end: {}{}", calls_text(), gone);
  return out;
}

bool Watchdog::calls_differ() const {
  const RankCall* first = nullptr;
  for (const auto& [rank, seen] : seen_) {
    if (seen.ended) continue;
    if (first == nullptr) first = &*seen.sample.call;
    if (!(*first == *seen.sample.call)) return true;
  }
  return false;
}

std::string Watchdog::calls_text() const {
  constexpr std::size_t most = 5;
  std::map<std::string, std::vector<int>> by_call;
  for (const auto& [rank, seen] : seen_) {
    if (!seen.ended && seen.sample.call) by_call[seen.sample.call->text()].push_back(rank);
  }
  std::string out;
  std::size_t listed = 0;
  for (const auto& [call, ranks] : by_call) {
    if (listed++ == most) break;
    out += fmt::format("{}{}{} in {}", out.empty() ? "" : "; ", rank_list(ranks),
                       ranks.size() == 1 ? " on " + seen_.at(ranks[0]).sample.host : "", call);
  }
  return out;
}

Verdict Watchdog::blame(Verdict::Kind kind, int rank, const std::string& what) const {
  const RankSample& sample = seen_.at(rank).sample;
  const bool lost = kind == Verdict::Kind::lost;
  Verdict out{
      .kind = kind, .code = code(lost ? ExitCode::peer_lost : ExitCode::hang), .rank = rank, .host = sample.host};
  out.text = fmt::format("rank {} on {} {}{}", rank, sample.host, what, at_step(sample));
  if (sample.call) out.text += fmt::format(", its oldest open call is {}", sample.call->text());
  out.text += waiting_for(rank);
  return out;
}

std::string Watchdog::waiting_for(int rank) const {
  std::map<std::string, std::vector<int>> by_call;
  for (const auto& [other, seen] : seen_) {
    if (other != rank && !seen.ended && seen.sample.in_call()) by_call[seen.sample.call->text()].push_back(other);
  }
  if (by_call.empty()) return "";
  const auto most = std::ranges::max_element(by_call, {}, [](const auto& one) { return one.second.size(); });
  return fmt::format("; {} wait{} in {}", rank_list(most->second), most->second.size() == 1 ? "s" : "", most->first);
}

std::optional<Verdict> Watchdog::vanished_host() const {
  std::map<std::string, std::vector<int>> silent;
  std::vector<std::string> heard;
  for (const auto& [rank, seen] : seen_) {
    if (seen.ended) heard.push_back(seen.sample.host);
    if (!seen.ended && !seen.sample.host.empty() && seen.sample.host != setup_.own_host)
      silent[seen.sample.host].push_back(rank);
  }
  for (const auto& [host, ranks] : silent) {
    if (heard.empty() || std::ranges::find(heard, host) != heard.end()) continue;
    return Verdict{.kind = Verdict::Kind::lost,
                   .code = code(ExitCode::peer_lost),
                   .rank = ranks.front(),
                   .host = host,
                   .text = fmt::format("host {} is lost, and with it {}", host, rank_list(ranks))};
  }
  return std::nullopt;
}

/// Who waits least is waited for.
void Watchdog::measure_waits(double now) {
  if (static_cast<int>(seen_.size()) < setup_.ranks || setup_.ranks < 2) return;
  const bool steps = std::ranges::all_of(seen_, [](const auto& one) {
    return !one.second.ended && one.second.sample.attached && one.second.sample.step > 0;
  });
  if (!steps) return;
  if (window_began_ >= 0 && now < window_began_ + window_seconds) return;
  const bool whole = window_began_ >= 0;
  window_began_ = now;
  std::vector<std::pair<double, int>> shares;
  for (auto& [rank, seen] : seen_) {
    const double lived = seen.sample.lived - seen.lived, waited = seen.sample.waited - seen.waited;
    seen.lived = seen.sample.lived;
    seen.waited = seen.sample.waited;
    if (lived > 0) shares.emplace_back(waited / lived, rank);
  }
  if (!whole || static_cast<int>(shares.size()) < setup_.ranks) return;
  ++windows_;
  std::ranges::sort(shares);
  const double own = shares[0].first, others = shares[(shares.size() + 1) / 2].first;
  if (others - own < straggler_share) return;
  Waits& waits = waits_[shares[0].second];
  ++waits.windows;
  waits.others += others;
  waits.own += own;
}

std::vector<std::string> Watchdog::stragglers() const {
  std::vector<std::string> out;
  for (const auto& [rank, waits] : waits_) {
    if (waits.windows < straggler_windows || 2 * waits.windows < windows_) continue;
    out.push_back(
        fmt::format("straggler: rank {} on {}: the others waited for it for {:.0f} % of the time, it for them for "
                    "{:.0f} % (in {} of {} "
                    "spans of {:.0f} s)",
                    rank, seen_.at(rank).sample.host, 100 * waits.others / waits.windows,
                    100 * waits.own / waits.windows, waits.windows, windows_, window_seconds));
  }
  return out;
}

}  // namespace trireme
