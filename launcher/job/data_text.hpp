// `trireme data tokenize` and `trireme data train-tokenizer`: from texts to token sets (docs/tokenizers.md).
#pragma once

#include <span>
#include <string>

namespace trireme {

/// Ends the command with a usage error where --`option` was not given.
void needed(const char* command, const char* option, const std::string& value);

int tokenize_command(std::span<const std::string> args);
int train_tokenizer_command(std::span<const std::string> args);

}  // namespace trireme
