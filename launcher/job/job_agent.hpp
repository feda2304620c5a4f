// `trireme job-agent FOLDER`: a job's second process on the host where it was submitted. It does nothing but look
// whether the job's runner is alive, and starts it again where it was killed; the runner does the same for it. What
// kills both at once (the machine was started again) is mended by the next command that looks at jobs.
// It runs beside the runner and not on the hosts of the ranks: the runner needs this host, its data base and its keys,
// and whoever wanted to start it from elsewhere would need an ssh back, which sites seldom allow.
#pragma once

#include <span>
#include <string>

#include "launcher/job/job_store.hpp"

namespace trireme {

int job_agent_command(std::span<const std::string> args);

/// Starts the job's agent where there is none, and waits until it is there: no ranks without one.
void begin_agent(const JobFolder& folder);

/// Starts the job's agent where there is none. At most one a second: until `not_before` nothing is done.
void keep_agent(const JobFolder& folder, double& not_before);

/// Starts runners for the jobs of the store that nobody runs any more, and waits a moment until they do. Jobs whose
/// variables are not set here stay as they are. Never throws: who looks at jobs shall see them.
void adopt_orphans(const JobStore& store);

}  // namespace trireme
