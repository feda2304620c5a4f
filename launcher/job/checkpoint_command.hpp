// `trireme checkpoint ...`: what checkpoints a run has, whether they are whole, what is in them, how two differ, which
// may go (docs/checkpoints.md), and their exchange with Hugging Face (docs/exchange.md). Each takes the words behind
// its own and returns the exit code; mistakes are Errors.
#pragma once

#include <span>
#include <string>

namespace trireme {

/// `trireme checkpoint ARGS...`
int checkpoint_command(std::span<const std::string> args);

int checkpoint_list_command(std::span<const std::string> args);
int checkpoint_verify_command(std::span<const std::string> args);
int checkpoint_show_command(std::span<const std::string> args);
/// 0: equal, 1: different, as diff(1).
int checkpoint_diff_command(std::span<const std::string> args);
int checkpoint_prune_command(std::span<const std::string> args);
int checkpoint_export_command(std::span<const std::string> args);
int checkpoint_import_command(std::span<const std::string> args);

}  // namespace trireme
