#include "launcher/doctor/words.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace trireme {

std::string size_text(std::int64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto size = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (size >= 1024 && unit + 1 < std::size(units)) size /= 1024, ++unit;
  return fmt::format("{:.{}f} {}", size, size < 10 && unit > 0 ? 1 : 0, units[unit]);
}

std::string time_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

std::string limit_text(std::int64_t limit, const char* unit) {
  return limit == -1 ? "none" : fmt::format("{}{}", limit, unit);
}

bool is_inner_card(const NetworkCard& card) {
  constexpr std::string_view beginnings[] = {"docker",  "br-",  "virbr", "veth",   "cni",
                                             "flannel", "cali", "lxc",   "podman", "vnet"};
  // A bond's or a host's own bridge may lead outside: only names that programs give count.
  return std::ranges::any_of(beginnings, [&](std::string_view one) { return card.name.starts_with(one); });
}

std::string mpi_network_words(const std::string& what, const std::vector<std::string>& names) {
  const std::string list = fmt::format("{}{}", what == "exclude" ? "lo," : "", fmt::join(names, ","));
  return fmt::format("--mca btl_tcp_if_{} {} --mca oob_tcp_if_{} {}", what, list, what, list);
}

}  // namespace trireme
