#include "launcher/job/effective_time.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>

namespace trireme {
namespace {

/// When a folder was made; 0 where the file system does not keep it.
double birth_of(const std::string& path) {
  struct statx facts {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_BTIME, &facts) != 0 || (facts.stx_mask & STATX_BTIME) == 0) return 0;
  return static_cast<double>(facts.stx_btime.tv_sec) + 1e-9 * facts.stx_btime.tv_nsec;
}

}  // namespace

std::optional<double> effective_share(const JobSpan& span) {
  const double born = birth_of(span.folder + "/start-1");
  const double begin = born > 0 ? born : span.submitted;
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const double end = span.end > 0 ? span.end : now;
  if (span.elapsed <= 0 || begin <= 0 || end <= begin) return std::nullopt;
  return std::min(1.0, span.elapsed / (end - begin));
}

}  // namespace trireme
