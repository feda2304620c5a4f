// Host threads standing in for the lanes of a GPU team: under ThreadSanitizer a missing sync() shows as a race, and a
// kernel that only works on one lane gives a wrong result.
#pragma once

#include <barrier>
#include <cstddef>
#include <thread>
#include <vector>

#include "core/kernels/team.hpp"

namespace trireme {

class ThreadTeam {
 public:
  struct Shared {
    explicit Shared(int lanes) : arrival(lanes), partials(static_cast<std::size_t>(lanes)) {}
    std::barrier<> arrival;
    std::vector<double> partials;
  };

  ThreadTeam(Shared& shared, int lane) : shared_(shared), lane_(lane) {}

  int lane() const { return lane_; }
  int lanes() const { return static_cast<int>(shared_.partials.size()); }
  void sync() const { shared_.arrival.arrive_and_wait(); }
  template <class A>
  A sum(A partial) const {
    return combine(partial, [](double a, double b) { return a + b; });
  }
  template <class A>
  A max(A partial) const {
    return combine(partial, [](double a, double b) { return a > b ? a : b; });
  }

 private:
  template <class A, class F>
  A combine(A partial, F join) const {
    shared_.partials[static_cast<std::size_t>(lane_)] = static_cast<double>(partial);
    sync();
    double total = shared_.partials[0];
    for (std::size_t k = 1; k < shared_.partials.size(); ++k) total = join(total, shared_.partials[k]);
    sync();  // nobody may overwrite its partial before all have read it
    return static_cast<A>(total);
  }

  Shared& shared_;
  int lane_;
};

/// Runs body(team) once on a serial team, or once on each lane of a thread team.
template <class Body>
void on_team(int lanes, Body body) {
  if (lanes == 1) return body(SerialTeam{});
  ThreadTeam::Shared shared(lanes);
  std::vector<std::jthread> threads;
  for (int lane = 0; lane < lanes; ++lane) threads.emplace_back([&, lane] { body(ThreadTeam(shared, lane)); });
}

}  // namespace trireme
