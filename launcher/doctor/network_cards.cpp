// The kernel is asked by ioctl: /sys/class/net shows the cards of the namespace in which it was mounted.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "core/io/descriptor.hpp"
#include "launcher/doctor/facts.hpp"

namespace trireme {
namespace {

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  return request;
}

std::string driver_of(int socket, const std::string& name) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&info);
  return ::ioctl(socket, SIOCETHTOOL, &request) == 0
             ? std::string(info.driver, ::strnlen(info.driver, sizeof info.driver))
             : "";
}

/// Virtual cards name speeds that nobody measured.
bool tells_a_speed(const std::string& driver) {
  constexpr std::string_view made_up[] = {"",      "veth",    "bridge", "tun", "dummy", "openvswitch",
                                          "vxlan", "macvlan", "ipvlan"};
  return std::ranges::find(made_up, driver) == std::end(made_up);
}

std::int64_t megabits_of(int socket, const std::string& name) {
  ethtool_cmd settings{};
  settings.cmd = ETHTOOL_GSET;
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&settings);
  if (::ioctl(socket, SIOCETHTOOL, &request) != 0) return 0;
  const std::uint32_t speed = ethtool_cmd_speed(&settings);
  return speed == static_cast<std::uint32_t>(SPEED_UNKNOWN) ? 0 : static_cast<std::int64_t>(speed);
}

NetworkCard look_at_card(int socket, const std::string& name) {
  NetworkCard card{.name = name, .driver = driver_of(socket, name)};
  ifreq request = request_for(name);
  if (::ioctl(socket, SIOCGIFMTU, &request) == 0) card.mtu = std::max(0, request.ifr_mtu);
  request = request_for(name);
  if (::ioctl(socket, SIOCGIFFLAGS, &request) == 0) {
    card.up = (request.ifr_flags & IFF_UP) != 0;
    card.linked = (request.ifr_flags & IFF_RUNNING) != 0;
  }
  if (tells_a_speed(card.driver)) card.megabits = megabits_of(socket, name);
  return card;
}

int length_of(const sockaddr* mask) {
  if (mask == nullptr) return 0;
  if (mask->sa_family == AF_INET) return std::popcount(reinterpret_cast<const sockaddr_in*>(mask)->sin_addr.s_addr);
  int bits = 0;
  for (const std::uint8_t byte : reinterpret_cast<const sockaddr_in6*>(mask)->sin6_addr.s6_addr)
    bits += std::popcount(byte);
  return bits;
}

std::string address_text(const ifaddrs& entry) {
  char text[INET6_ADDRSTRLEN];
  const void* bytes = entry.ifa_addr->sa_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(entry.ifa_addr)->sin_addr)
                          : &reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr)->sin6_addr;
  ::inet_ntop(entry.ifa_addr->sa_family, bytes, text, sizeof text);
  return std::string(text) + "/" + std::to_string(length_of(entry.ifa_netmask));
}

}  // namespace

std::vector<NetworkCard> network_cards() {
  std::vector<NetworkCard> cards;
  ifaddrs* entries = nullptr;
  if (::getifaddrs(&entries) != 0) return cards;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (const ifaddrs* entry = entries; entry != nullptr; entry = entry->ifa_next) {
    if ((entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const auto same = [&](const NetworkCard& card) { return card.name == entry->ifa_name; };
    auto card = std::ranges::find_if(cards, same);
    if (card == cards.end()) card = cards.insert(card, look_at_card(socket, entry->ifa_name));
    const bool internet =
        entry->ifa_addr != nullptr && (entry->ifa_addr->sa_family == AF_INET || entry->ifa_addr->sa_family == AF_INET6);
    if (!internet) continue;
    const std::string address = address_text(*entry);
    // Every card has one of these, and nobody is reached by it.
    if (!address.starts_with("fe80")) card->addresses.push_back(address);
  }
  if (socket >= 0) ::close(socket);
  ::freeifaddrs(entries);
  return cards;
}

}  // namespace trireme
