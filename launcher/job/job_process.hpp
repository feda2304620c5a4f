// The background processes of a job: how they are started and which folder is theirs.
#pragma once

#include <string>
#include <vector>

#include "launcher/job/job_store.hpp"

namespace trireme {

/// This program, also where its file was replaced since it started.
std::string own_program();

/// Names of all variables of this process.
std::vector<std::string> own_variables();

/// Starts `words` in a session of its own, whose end nobody waits for, with these variables of this process alone and
/// both outputs appended to `log`.
void start_detached(const std::vector<std::string>& words, const std::vector<std::string>& variables,
                    const std::string& log);

/// The folder of a job by its path, as `command` got it: the last part is the job's number.
JobFolder job_folder_at(const std::string& path, const std::string& command);

}  // namespace trireme
