// `trireme data tokenize` and `trireme data train-tokenizer`: from texts to token sets (docs/tokenizers.md).
#pragma once

#include <span>
#include <string>

namespace trireme {

int tokenize_command(std::span<const std::string> args);
int train_tokenizer_command(std::span<const std::string> args);

}  // namespace trireme
