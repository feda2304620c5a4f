// TCP with deadlines, for the measurements between hosts: no call waits longer than it was told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/descriptor.hpp"

namespace trireme {

double steady_now();

/// A socket that listens at `port` (0: any) of all addresses, IPv4 and IPv6; an invalid one where the port is taken.
Descriptor listen_at(std::int64_t port);
std::int64_t port_of(const Descriptor& socket);

/// A connection whose reads and writes fail after `seconds` without progress; `problem` says why there is none.
struct Connection {
  Descriptor socket;
  std::string problem = {};
};
Connection connect_to(const std::string& host, std::int64_t port, double seconds);
void limit_waits(const Descriptor& socket, double seconds);

/// False where the other side is gone, or the time ran out.
bool send_all(const Descriptor& socket, std::string_view bytes);
bool receive_all(const Descriptor& socket, char* bytes, std::size_t size);

/// The address of this side of a connection.
std::string local_address(const Descriptor& socket);

}  // namespace trireme
