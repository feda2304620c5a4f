#include "launcher/job/job_queue.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "launcher/job/host_names.hpp"

namespace trireme {
namespace {

using Names = std::vector<std::string>;

bool among(const Names& names, const std::string& name) { return std::ranges::find(names, name) != names.end(); }

const HostSlots* find_host(const SlotRequest& request, const std::string& name) {
  const auto at = std::ranges::find_if(request.hosts, [&](const HostSlots& one) { return one.name == name; });
  return at == request.hosts.end() ? nullptr : &*at;
}

const LostHost* find_lost(const std::vector<LostHost>& lost, const std::string& name) {
  const auto at = std::ranges::find_if(lost, [&](const LostHost& one) { return same_host(one.name, name); });
  return at == lost.end() ? nullptr : &*at;
}

/// What placed jobs take of each host, and the smallest number of slots that one of them gave it.
class Use {
 public:
  explicit Use(const std::vector<PlacedJob>& placed) {
    for (const PlacedJob& one : placed) add(one);
  }
  void add(const PlacedJob& one) {
    for (const std::string& name : one.on) {
      const HostSlots* host = find_host(one.request, name);
      const std::int64_t slots = host == nullptr ? 0 : host->slots;
      const auto [at, fresh] = hosts_.try_emplace(name, Host{0, slots});
      at->second.used += one.request.ranks_per_node;
      at->second.slots = std::min(at->second.slots, slots);
    }
  }
  bool has_room(const HostSlots& host, std::int64_t ranks) const {
    const auto at = hosts_.find(host.name);
    if (at == hosts_.end()) return ranks <= host.slots;
    return at->second.used + ranks <= std::min(at->second.slots, host.slots);
  }

 private:
  struct Host {
    std::int64_t used, slots;
  };
  std::map<std::string, Host> hosts_;
};

/// The first hosts with room, those in `avoid` left out; empty where there are too few.
Names fit(const SlotRequest& request, const Use& use, const Names& avoid = {}) {
  Names on;
  for (const HostSlots& host : request.hosts) {
    if (static_cast<std::int64_t>(on.size()) == request.nodes) break;
    if (!among(avoid, host.name) && use.has_room(host, request.ranks_per_node)) on.push_back(host.name);
  }
  if (static_cast<std::int64_t>(on.size()) < request.nodes) on.clear();
  return on;
}

/// One that should have ended is about to: it saves, or its runner is late.
double end_of(const PlacedJob& one, double now) {
  if (one.request.seconds <= 0) return SlotHolder::unknown;
  return std::max(now, one.since + one.request.seconds);
}

/// When it fits at the latest, if nothing else starts; unknown where it waits for a job without a limit.
double earliest(const SlotRequest& request, std::vector<PlacedJob> placed, double now) {
  std::ranges::stable_sort(placed, {}, [&](const PlacedJob& one) { return end_of(one, now); });
  double time = now;
  while (fit(request, Use(placed)).empty() && !placed.empty()) {
    time = end_of(placed.front(), now);
    const auto still = std::ranges::find_if(placed, [&](const PlacedJob& one) { return end_of(one, now) > time; });
    placed.erase(placed.begin(), still);
  }
  return time;
}

std::vector<SlotHolder> holders_of(const SlotRequest& request, const std::vector<PlacedJob>& placed, double now) {
  const Use use(placed);
  std::vector<SlotHolder> out;
  for (const PlacedJob& one : placed) {
    SlotHolder holder{.job = one.request.job, .until = end_of(one, now)};
    for (const std::string& name : one.on) {
      const HostSlots* host = find_host(request, name);
      if (host != nullptr && !use.has_room(*host, request.ranks_per_node)) holder.hosts.push_back(name);
    }
    if (!holder.hosts.empty()) out.push_back(std::move(holder));
  }
  return out;
}

/// Without the lost hosts, where the others would do.
SlotRequest without_lost(const SlotRequest& request, const std::vector<LostHost>& lost) {
  SlotRequest rest = request;
  std::erase_if(rest.hosts, [&](const HostSlots& one) { return find_lost(lost, one.name) != nullptr; });
  return place_alone(rest).empty() ? request : rest;
}

std::vector<LostHost> left_out(const SlotRequest& whole, const SlotRequest& rest, const std::vector<LostHost>& lost) {
  std::vector<LostHost> out;
  for (const HostSlots& one : whole.hosts) {
    if (find_host(rest, one.name) == nullptr)
      out.push_back({.name = one.name, .until = find_lost(lost, one.name)->until});
  }
  return out;
}

class Planner {
 public:
  Planner(const QueueView& view, double now) : placed_(view.placed), lost_(view.lost), now_(now) {}

  void consider(const SlotRequest& whole) {
    const SlotRequest request = without_lost(whole, lost_);
    const Names on = head_ ? behind_head(request) : fit(request, Use(placed_));
    if (!on.empty()) {
      placed_.push_back({request, on, now_});
      plan_.starts.push_back(placed_.back());
      return;
    }
    waiting_.push_back(
        {.job = request.job, .behind = head_ ? head_->job : 0, .without = left_out(whole, request, lost_)});
    requests_.push_back(request);
    // One that can never start must not hold up the others.
    if (head_ || place_alone(request).empty()) return;
    head_ = request;
    head_starts_ = earliest(request, placed_, now_);
    waiting_.back().starts = head_starts_;
  }

  QueuePlan plan() {
    for (std::size_t k = 0; k < waiting_.size(); ++k) waiting_[k].holders = holders_of(requests_[k], placed_, now_);
    plan_.waiting = std::move(waiting_);
    return std::move(plan_);
  }

 private:
  /// Hosts that the head has no use for do it no harm. On others the limits must show that it starts no later.
  Names behind_head(const SlotRequest& request) const {
    Names wanted;
    for (const HostSlots& host : head_->hosts) wanted.push_back(host.name);
    const Use use(placed_);
    const Names apart = fit(request, use, wanted);
    if (!apart.empty() || head_starts_ == SlotHolder::unknown) return apart;
    const Names on = fit(request, use);
    if (on.empty()) return on;
    std::vector<PlacedJob> with = placed_;
    with.push_back({request, on, now_});
    return earliest(*head_, with, now_) <= head_starts_ ? on : Names{};
  }

  std::vector<PlacedJob> placed_;
  std::vector<LostHost> lost_;
  double now_;
  std::optional<SlotRequest> head_;
  double head_starts_ = 0;
  std::vector<WaitingJob> waiting_;
  std::vector<SlotRequest> requests_;
  QueuePlan plan_;
};

}  // namespace

QueuePlan plan_queue(const QueueView& view, double now) {
  Planner planner(view, now);
  for (const SlotRequest& request : view.waiting) planner.consider(request);
  return planner.plan();
}

std::vector<std::string> renewed_place(const QueueView& view, std::int64_t job, std::int64_t least) {
  std::vector<PlacedJob> others = view.placed;
  const auto at = std::ranges::find_if(others, [&](const PlacedJob& one) { return one.request.job == job; });
  if (at == others.end()) return {};
  const PlacedJob own = *at;
  others.erase(at);
  const Use use(others);
  struct Choice {
    double lost_until;  // 0: it is not lost
    bool fresh;
    std::string name;
  };
  std::vector<Choice> choices;
  for (const HostSlots& host : own.request.hosts) {
    const bool fresh = !among(own.on, host.name);
    if (fresh && !use.has_room(host, own.request.ranks_per_node)) continue;
    const LostHost* lost = find_lost(view.lost, host.name);
    choices.push_back({lost == nullptr ? 0 : lost->until, fresh, host.name});
  }
  std::ranges::stable_sort(choices, {}, [](const Choice& one) { return std::pair(one.lost_until, one.fresh); });
  const auto good = std::ranges::count_if(choices, [](const Choice& one) { return one.lost_until == 0; });
  if (good >= least) choices.resize(static_cast<std::size_t>(good));
  Names on;
  for (const Choice& one : choices) {
    if (static_cast<std::int64_t>(on.size()) < own.request.nodes) on.push_back(one.name);
  }
  return on;
}

std::vector<std::string> place_alone(const SlotRequest& request) { return fit(request, Use({})); }

}  // namespace trireme
