#include "launcher/job/host_names.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>

#include "core/base/now.hpp"
#include "core/io/descriptor.hpp"

namespace trireme {
namespace {

void each_address(const std::string& name, const std::function<void(const addrinfo&)>& take) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) take(*one);
  ::freeaddrinfo(found);
}

}  // namespace

bool same_host(const std::string& a, const std::string& b) {
  const auto is_address = [](const std::string& name) {
    return name.find_first_not_of("0123456789.") == std::string::npos || name.find(':') != std::string::npos;
  };
  if (a == b) return true;
  if (is_address(a) || is_address(b)) return false;
  const std::string &longer = a.size() > b.size() ? a : b, &shorter = a.size() > b.size() ? b : a;
  return shorter.find('.') == std::string::npos && longer.starts_with(shorter + ".");
}

std::vector<std::string> addresses_of(const std::string& name) {
  std::vector<std::string> out;
  each_address(name, [&](const addrinfo& one) {
    char text[NI_MAXHOST];
    if (::getnameinfo(one.ai_addr, one.ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
      out.emplace_back(text);
  });
  return out;
}

bool is_this_machine(const std::string& name) {
  if (name == "localhost" || same_host(name, host_name())) return true;
  bool own = false;
  each_address(name, [&](const addrinfo& one) {
    // Only an address of this machine can be bound, to whichever port is free.
    const Descriptor socket(::socket(one.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    own = own || (socket && ::bind(socket.get(), one.ai_addr, one.ai_addrlen) == 0);
  });
  return own;
}

}  // namespace trireme
