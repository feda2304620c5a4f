// Runs a piece of a test in a child process, in which it may spoil what belongs to the process: limits, mounts, system
// calls.
#pragma once

#include <sys/syscall.h>

#include <functional>

namespace trireme {

/// How in_child() ends where the machine does not let a child do what the test needs.
inline constexpr int child_cannot = 77;
/// Where an exception that is no Error left it.
inline constexpr int child_broke = 78;

/// The exit status of the child: 0 where `action` returned, the code of the Error that left it, or 128 and the signal
/// that killed it. The child ends as programs do, by exit(), so that what libraries do then is seen, too.
int in_child(const std::function<void()>& action);

/// From now on this process gets `error` for a system call (SYS_...); ends it by child_cannot where filters are not
/// allowed.
void refuse_call(long call, int error);

/// Mounts a file system of its own with room for `bytes` on a folder, seen by this process alone; ends it by
/// child_cannot where only root may.
void mount_small(const char* folder, long bytes);

}  // namespace trireme
