// What interruptions cost a job: the part of the time since its first start in which the run got on.
#pragma once

#include <optional>
#include <string>

namespace trireme {

struct JobSpan {
  std::string folder = {};  // of the job
  double submitted = 0;     // seconds since 1970, where the file system does not say when the first start was
  double end = 0;           // 0: it runs
  double elapsed = 0;       // seconds of steps, evaluations and saves that count: none is in it twice
};

/// 0 to 1; nothing before the first step.
std::optional<double> effective_share(const JobSpan& span);

}  // namespace trireme
