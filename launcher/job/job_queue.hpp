// Which of the waiting jobs start now, and on which hosts: whole or not at all, in the order of their submission. A
// later job may pass the first one that has to wait only where that one starts no later for it, as far as the time
// limits tell (EASY backfill; Lifka, JSSPP 1995). Hosts that were lost a short while ago are nobody's place, unless a
// job could not run without them. Pure: the caller knows the clock and keeps the jobs.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "launcher/job/host_list.hpp"

namespace trireme {

/// What a job asks for: `ranks_per_node` slots on each of `nodes` of these hosts.
struct SlotRequest {
  std::int64_t job = 0;
  std::vector<HostSlots> hosts = {};  // with the number of slots of each
  std::int64_t nodes = 1, ranks_per_node = 1;
  double seconds = 0;  // its time limit; 0: none
};

/// A job that has its slots, with the names of the hosts where.
struct PlacedJob {
  SlotRequest request;
  std::vector<std::string> on;
  double since = 0;
};

/// A host that fell silent under a job or did not answer, by the name of a list or its own.
struct LostHost {
  std::string name;
  double until = 0;  // then it may be tried again
};

struct QueueView {
  std::vector<PlacedJob> placed;
  std::vector<SlotRequest> waiting;  // in the order of submission
  std::vector<LostHost> lost = {};
};

/// Who holds slots that a waiting job wants, on which of its hosts, and until when at the latest.
struct SlotHolder {
  static constexpr double unknown = std::numeric_limits<double>::infinity();
  std::int64_t job = 0;
  std::vector<std::string> hosts = {};
  double until = unknown;
};

struct WaitingJob {
  std::int64_t job = 0;
  std::vector<SlotHolder> holders = {};
  std::int64_t behind = 0;              // the job that must not be delayed by it; 0: it is first itself
  double starts = SlotHolder::unknown;  // at the latest, where that is known
  std::vector<LostHost> without = {};   // hosts of its list that it does not wait for
};

struct QueuePlan {
  std::vector<PlacedJob> starts;
  std::vector<WaitingJob> waiting;
};

/// Hosts that run several jobs hold no more ranks than the smallest number of slots that any of these gave them.
QueuePlan plan_queue(const QueueView& view, double now);

/// Hosts for the next start of a placed job: those it has and has not lost, and others with room in the place of lost
/// ones, up to as many as it wants. Where fewer than `least` remain, lost ones as well, those lost longest ago first.
/// Empty where the job has no place.
std::vector<std::string> renewed_place(const QueueView& view, std::int64_t job, std::int64_t least);

/// The first hosts with room where nothing else runs: where the job would be placed alone; empty where it never fits.
std::vector<std::string> place_alone(const SlotRequest& request);

}  // namespace trireme
