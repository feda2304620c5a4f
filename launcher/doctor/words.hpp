// Numbers and parameters as the doctor says them, and what several of its checks ask of a card.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/doctor/facts.hpp"

namespace trireme {

/// "1.5 GiB".
std::string size_text(std::int64_t bytes);
/// "12 us", "3.4 ms", "2.0 s".
std::string time_text(double seconds);
/// "none" for -1.
std::string limit_text(std::int64_t limit, const char* unit);

/// A bridge, a container's or virtual machine's card: it leads to nothing outside of its host.
bool is_inner_card(const NetworkCard& card);

/// "--mca btl_tcp_if_exclude lo,docker0 --mca oob_tcp_if_exclude lo,docker0".
std::string mpi_network_words(const std::string& what, const std::vector<std::string>& names);

}  // namespace trireme
