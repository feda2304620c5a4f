// `trireme rank-exec --log-dir DIR -- PROGRAM ARGS...`: the wrapper that mpirun starts once per rank. It runs the
// program, writes its lines to DIR/rank-N.log and as frames to the launcher, and records how it ended in
// DIR/rank-N.status and in a last frame. Not for use by hand.
#pragma once

#include <span>
#include <string>

namespace trireme {

/// Returns the program's exit code, 128 + signal where a signal killed it.
int rank_exec_command(std::span<const std::string> args);

}  // namespace trireme
