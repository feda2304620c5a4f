#include "launcher/job/port_range.hpp"

#include <charconv>

#include "core/base/error.hpp"
#include "launcher/run/print.hpp"

namespace trireme {

PortRange read_ports(const std::string& text) {
  PortRange ports;
  if (text.empty()) return ports;
  const char* end = text.data() + text.size();
  const auto [dash, error] = std::from_chars(text.data(), end, ports.first);
  bool good = error == std::errc{} && dash != end && *dash == '-';
  if (good) {
    const auto [stop, later] = std::from_chars(dash + 1, end, ports.last);
    good = later == std::errc{} && stop == end && ports.first >= 1024 && ports.last <= 65535 && ports.count() >= 1;
  }
  if (!good) {
    fail(ExitCode::usage, "option 'ports': found '{}', wanted FIRST-LAST within 1024-65535, as in 20000-20063",
         harmless(text));
  }
  return ports;
}

std::vector<std::pair<std::string, std::string>> mpi_parameters(const PortRange& ports) {
  if (ports.count() < 1) return {};
  std::vector<std::pair<std::string, std::string>> out;
  for (const char* family : {"v4", "v6"}) {
    out.emplace_back(fmt::format("btl_tcp_port_min_{}", family), fmt::format("{}", ports.first));
    out.emplace_back(fmt::format("btl_tcp_port_range_{}", family), fmt::format("{}", ports.count()));
    out.emplace_back(fmt::format("oob_tcp_dynamic_ip{}_ports", family), fmt::format("{}-{}", ports.first, ports.last));
  }
  return out;
}

}  // namespace trireme
