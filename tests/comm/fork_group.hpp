// Several processes of this host for tests: forked children with a NodeGroup between them, whose exchange goes through
// memory they share from birth.
#pragma once

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "comm/node_group.hpp"
#include "core/base/log.hpp"

namespace trireme::test {

class ForkGroup {
 public:
  static constexpr std::size_t rounds = 64, most = 8, length = 256;

  /// Forks `size` children that run `body` and end with its result; 99 when it throws.
  ForkGroup(int size, const std::function<int(const NodeGroup&)>& body) {
    void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    board_ = new (memory) Board;
    for (int r = 0; r < size; ++r) {
      const pid_t child = ::fork();
      if (child == 0) {
        NodeGroup group{.rank = r, .size = size, .exchange = {}, .names = {}};
        for (int k = 0; k < size; ++k) group.names.push_back(fmt::format("rank {} on host here", k));
        group.exchange = [this, r, size, round = std::size_t{0}](const std::string& text) mutable {
          return exchange(round++, r, size, text);
        };
        int status = 99;
        try {
          status = body(group);
        } catch (const std::exception& error) {
          log::error("child {}: {}", r, error.what());
        }
        ::_exit(status);
      }
      children_.push_back(child);
    }
  }
  ~ForkGroup() {
    for (const pid_t child : children_) {
      if (child <= 0) continue;
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    ::munmap(board_, sizeof(Board));
  }
  ForkGroup(const ForkGroup&) = delete;
  ForkGroup& operator=(const ForkGroup&) = delete;

  /// Exit status of a child, or 1000 + the signal that killed it.
  int wait(int rank) {
    int status = 0;
    pid_t& child = children_.at(static_cast<std::size_t>(rank));
    ::waitpid(child, &status, 0);
    child = 0;
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  void kill(int rank) { ::kill(children_.at(static_cast<std::size_t>(rank)), SIGKILL); }

 private:
  struct Board {
    std::atomic<int> arrived[rounds] = {};
    char text[rounds][most][length] = {};
  };

  std::vector<std::string> exchange(std::size_t round, int rank, int size, const std::string& text) {
    std::strncpy(board_->text[round][rank], text.c_str(), length - 1);
    ++board_->arrived[round];
    while (board_->arrived[round].load() < size) ::sched_yield();
    std::vector<std::string> out;
    for (int r = 0; r < size; ++r) out.emplace_back(board_->text[round][r]);
    return out;
  }

  Board* board_ = nullptr;
  std::vector<pid_t> children_;
};

}  // namespace trireme::test
