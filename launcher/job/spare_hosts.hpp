// Where a job starts again after a host was lost: on the hosts that remain, where it allows fewer. A lost host is left
// out for half an hour, then it is tried again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/job/job_description.hpp"

namespace trireme {

constexpr double left_out_seconds = 1800;

/// Hosts that earlier starts of the job lost, from the verdicts in `folder`/start-K of the starts before `start`.
std::vector<std::string> lost_hosts(const std::string& folder, std::int64_t start);

/// The description as start number `start` uses it: without the lost hosts, with fewer nodes where min-nodes allows
/// that; unchanged where nothing was lost or too few would remain.
JobDescription on_remaining_hosts(const JobDescription& job, const std::string& folder, std::int64_t start);

}  // namespace trireme
