#include "launcher/doctor/sockets.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace trireme {
namespace {

constexpr int yes = 1, no = 0;

/// "" where the connection stands.
std::string finish_connecting(int socket, double end) {
  pollfd wait{socket, POLLOUT, 0};
  for (;;) {
    const double left = end - steady_now();
    if (left <= 0) return "no answer";
    const int ready = ::poll(&wait, 1, static_cast<int>(left * 1000) + 1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0) break;
  }
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? "" : std::strerror(error);
}

Connection try_address(const addrinfo& address, double end) {
  Connection out{.socket = Descriptor(
                     ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol))};
  const int socket = out.socket.get();
  if (socket < 0) {
    out.problem = std::strerror(errno);
  } else if (::connect(socket, address.ai_addr, address.ai_addrlen) != 0) {
    out.problem = errno == EINPROGRESS ? finish_connecting(socket, end) : std::strerror(errno);
  }
  if (!out.problem.empty()) return {.socket = {}, .problem = out.problem};
  ::fcntl(socket, F_SETFL, 0);
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return out;
}

}  // namespace

double steady_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Descriptor listen_at(std::int64_t port) {
  for (const int family : {AF_INET6, AF_INET}) {
    Descriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) continue;
    // A port that an earlier connection has just left is free, as MPI sees it.
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in6 six{};
    sockaddr_in four{};
    six.sin6_family = AF_INET6;
    four.sin_family = AF_INET;
    six.sin6_port = four.sin_port = htons(static_cast<std::uint16_t>(port));
    if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    const auto* address =
        family == AF_INET6 ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
    const socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    if (::bind(socket.get(), address, size) == 0 && ::listen(socket.get(), 64) == 0) return socket;
  }
  return {};
}

std::int64_t port_of(const Descriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port)
                                       : ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

void limit_waits(const Descriptor& socket, double seconds) {
  const auto whole = static_cast<long>(seconds);
  const timeval limit{.tv_sec = whole, .tv_usec = static_cast<long>((seconds - static_cast<double>(whole)) * 1e6)};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Connection connect_to(const std::string& host, std::int64_t port, double seconds) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return {.socket = {}, .problem = ::gai_strerror(error)};
  const double end = steady_now() + seconds;
  Connection out;
  for (const addrinfo* one = found; one != nullptr && out.socket.get() < 0; one = one->ai_next)
    out = try_address(*one, end);
  ::freeaddrinfo(found);
  if (out.socket.get() >= 0) limit_waits(out.socket, seconds);
  return out;
}

bool send_all(const Descriptor& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool receive_all(const Descriptor& socket, char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t got = ::recv(socket.get(), bytes, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

std::string local_address(const Descriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char text[NI_MAXHOST] = "";
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace trireme
