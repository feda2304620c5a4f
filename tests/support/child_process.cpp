#include "tests/support/child_process.hpp"

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.hpp"

namespace trireme {

int in_child(const std::function<void()>& action) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  require(child >= 0, "fork failed");
  if (child == 0) {
    int status = 0;
    try {
      action();
    } catch (const Error& error) {
      status = static_cast<int>(error.code());
      std::fprintf(stderr, "[child] %s\n", error.what());
    } catch (const std::exception& error) {
      status = child_broke;
      std::fprintf(stderr, "[child] %s\n", error.what());
    }
    std::exit(status);
  }
  int status = 0;
  require(::waitpid(child, &status, 0) == child, "waiting for a child failed");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void refuse_call(long call, int error) {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, steps};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    std::exit(child_cannot);
  }
}

void mount_small(const char* folder, long bytes) {
  const std::string size = fmt::format("size={}", bytes);
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", folder, "tmpfs", 0, size.c_str()) != 0) {
    std::exit(child_cannot);
  }
}

}  // namespace trireme
