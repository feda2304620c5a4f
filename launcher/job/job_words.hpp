// The words inside a value of a job description: arguments of a program, variables, options for sbatch.
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// Splits at spaces. 'single' and "double" quotes keep spaces, a backslash keeps the next letter (inside double quotes
/// only before " and \); nothing is expanded. `key` is for the usage error about a quote that never ends.
std::vector<std::string> split_words(const std::string& text, const std::string& key);

/// The text that split_words() reads back as `words`.
std::string join_words(const std::vector<std::string>& words);

/// mpirun and srun take a lone ':' for the beginning of another program, wherever it stands: each word of nothing but
/// backslashes and a ':' at its end gets a backslash in front on its way through them, and loses it behind them.
std::vector<std::string> with_hidden_colons(std::vector<std::string> words);
std::vector<std::string> with_shown_colons(std::vector<std::string> words);

/// Bytes below 32 and 127: they end lines of scripts, logs and terminals where nobody expects it.
bool has_control_characters(const std::string& text);

/// A variable's name as shells have it.
bool is_variable_name(const std::string& text);

}  // namespace trireme
