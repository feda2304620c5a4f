#include "launcher/doctor/peer.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "launcher/doctor/sockets.hpp"

namespace trireme {
namespace {

/// Behind the token: bytes come back one by one, or are swallowed and acknowledged when no more come.
constexpr char echo = 'e', swallow = 's';
/// Without progress; a link that is slower than this has its own finding.
constexpr double answer_seconds = 10, connect_seconds = 3;

void talk(Descriptor socket, const std::string& token) {
  limit_waits(socket, answer_seconds);
  std::string greeting(token.size() + 1, '\0');
  if (!receive_all(socket, greeting.data(), greeting.size()) || !greeting.starts_with(token)) return;
  char byte = 0;
  if (greeting.back() == echo) {
    while (receive_all(socket, &byte, 1) && send_all(socket, {&byte, 1})) {
    }
    return;
  }
  std::vector<char> block(std::size_t{1} << 20);
  ssize_t got = 1;
  while (got > 0) got = ::recv(socket.get(), block.data(), block.size(), 0);
  if (got == 0) send_all(socket, {&byte, 1});
}

/// Whether the other side knows the token.
Connection open_talk(const std::string& name, std::int64_t port, const std::string& token) {
  Connection out = connect_to(name, port, connect_seconds);
  if (!out.problem.empty()) return out;
  char byte = 0;
  const bool known = send_all(out.socket, token + echo + "x") && receive_all(out.socket, &byte, 1) && byte == 'x';
  if (!known) return {.socket = {}, .problem = "somebody else answers"};
  return out;
}

double median_round_trip(const Descriptor& socket) {
  std::vector<double> times;
  const double end = steady_now() + 0.5;
  char byte = 'x';
  while (times.size() < 300 && steady_now() < end) {
    const double begin = steady_now();
    if (!send_all(socket, {&byte, 1}) || !receive_all(socket, &byte, 1)) break;
    times.push_back(steady_now() - begin);
  }
  if (times.empty()) return 0;
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

/// Bytes per second of one stream, counted until the other side has them.
double send_for(const PeerQuestion& question, const std::string& name, std::int64_t port) {
  const Connection peer = connect_to(name, port, connect_seconds);
  if (!peer.problem.empty() || !send_all(peer.socket, question.token + swallow)) return 0;
  limit_waits(peer.socket, answer_seconds);
  const std::vector<char> block(std::size_t{1} << 18);
  const double begin = steady_now();
  double bytes = 0;
  while (steady_now() < begin + question.seconds) {
    if (!send_all(peer.socket, {block.data(), block.size()})) return 0;
    bytes += static_cast<double>(block.size());
  }
  ::shutdown(peer.socket.get(), SHUT_WR);
  char done = 0;
  return receive_all(peer.socket, &done, 1) ? bytes / (steady_now() - begin) : 0;
}

double gigabits_of(const PeerQuestion& question, const std::string& name, std::int64_t port) {
  std::vector<double> rates(static_cast<std::size_t>(std::clamp<std::int64_t>(question.streams, 1, 16)));
  {
    std::vector<std::jthread> streams;
    for (double& rate : rates) streams.emplace_back([&] { rate = send_for(question, name, port); });
  }
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum * 8e-9;
}

}  // namespace

PeerServer::PeerServer(const std::string& token, const std::vector<std::int64_t>& ports) : token_(token) {
  for (const std::int64_t port : ports.empty() ? std::vector<std::int64_t>{0} : ports) {
    Descriptor socket = listen_at(port);
    if (socket.get() < 0) {
      taken_.push_back(port);
      continue;
    }
    open_.push_back(port_of(socket));
    listeners_.push_back(std::move(socket));
  }
  accepting_ = std::jthread([this] { accept_all(); });
}

PeerServer::~PeerServer() { ending_ = true; }

void PeerServer::accept_all() {
  std::vector<pollfd> waits;
  for (const Descriptor& one : listeners_) waits.push_back({one.get(), POLLIN, 0});
  while (!ending_) {
    ::poll(waits.data(), waits.size(), 50);
    for (const pollfd& one : waits) {
      if ((one.revents & POLLIN) == 0) continue;
      Descriptor socket(::accept4(one.fd, nullptr, nullptr, SOCK_CLOEXEC));
      // Each owns all it touches, and ends by its own time limits.
      if (socket)
        std::thread([peer = std::move(socket), token = token_]() mutable { talk(std::move(peer), token); }).detach();
    }
  }
}

PeerAnswer ask_peer(const PeerQuestion& question) {
  PeerAnswer out;
  std::int64_t through = 0;
  for (const std::string& name : question.names) {
    out.blocked.clear();
    // At once: behind a firewall each takes its whole time.
    std::vector<Connection> talks(question.ports.size());
    {
      std::vector<std::jthread> tries;
      for (std::size_t n = 0; n < talks.size(); ++n) {
        tries.emplace_back([&, n] { talks[n] = open_talk(name, question.ports[n], question.token); });
      }
    }
    for (std::size_t n = 0; n < talks.size(); ++n) {
      if (!talks[n].problem.empty()) {
        out.blocked.push_back(question.ports[n]);
        out.problem = talks[n].problem;
      } else if (through == 0) {
        through = question.ports[n];
        out.name = name;
        out.local = local_address(talks[n].socket);
        out.round_trip = median_round_trip(talks[n].socket);
      }
    }
    if (through != 0) break;
  }
  if (through != 0 && question.seconds > 0) out.gigabits = gigabits_of(question, out.name, through);
  return out;
}

}  // namespace trireme
