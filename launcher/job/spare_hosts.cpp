#include "launcher/job/spare_hosts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "launcher/job/hang_report.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

bool is_recent(const std::string& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  return !error && fs::file_time_type::clock::now() - time < std::chrono::duration<double>(left_out_seconds);
}

/// A host calls itself "n1" or "n1.site.org", whatever the job calls it.
bool same_host(const std::string& a, const std::string& b) {
  const auto plain = [](const std::string& name) { return name.substr(0, name.find('.')); };
  const bool number = a.find_first_not_of("0123456789.") == std::string::npos || a.find(':') != std::string::npos;
  return a == b || (!number && plain(a) == plain(b));
}

}  // namespace

std::vector<std::string> lost_hosts(const std::string& folder, std::int64_t start) {
  std::vector<std::string> out;
  for (std::int64_t earlier = 1; earlier < start; ++earlier) {
    const std::string logs = fmt::format("{}/start-{}", folder, earlier);
    const auto verdict = read_verdict(logs);
    if (!verdict || verdict->kind != Verdict::Kind::lost || verdict->host.empty()) continue;
    if (!is_recent(logs + "/verdict.json") || std::ranges::find(out, verdict->host) != out.end()) continue;
    out.push_back(verdict->host);
  }
  return out;
}

JobDescription on_remaining_hosts(const JobDescription& job, const std::string& folder, std::int64_t start) {
  if (job.backend != Backend::hosts || job.min_nodes >= job.nodes) return job;
  std::vector<HostSlots> hosts = read_hosts(job.hosts);
  const std::vector<std::string> lost = lost_hosts(folder, start);
  std::erase_if(hosts, [&](const HostSlots& one) {
    return std::ranges::any_of(lost, [&](const std::string& name) { return same_host(one.name, name); });
  });
  const auto left = static_cast<std::int64_t>(hosts.size());
  if (left == job.nodes || left < job.min_nodes) return job;
  JobDescription out = job;
  out.nodes = left;
  out.hosts = host_list(hosts, job.ranks_per_node);
  return out;
}

}  // namespace trireme
