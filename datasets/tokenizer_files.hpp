// The files tokenizers are kept in (docs/tokenizers.md), each read into a TokenizerModel. A reader checks what its own
// format says; whether the whole is a tokenizer is checked by Tokenizer.
#pragma once

#include <string>

#include "core/io/json.hpp"
#include "datasets/tokenizer_model.hpp"

namespace trireme {

inline constexpr const char* tokenizer_file_name = "tokenizer.json";

/// tokenizer.json of the library `tokenizers`, of the kind byte-level BPE. What it says about padding, truncation and
/// tokens that are put around a text is not read: encode() gives the ids of the text.
TokenizerModel read_byte_pair_json(const Json& json, const std::string& path);
Json byte_pair_json(const TokenizerModel& model);

/// The two files of GPT-2: encoder.json (token to id) and vocab.bpe (the merges, best first).
TokenizerModel read_gpt2_files(const std::string& encoder, const std::string& merges);

/// Our own file of a tokenizer by characters.
inline constexpr const char* characters_format = "trireme-characters";
TokenizerModel read_characters_json(const Json& json, const std::string& path);
Json characters_json(const TokenizerModel& model);

}  // namespace trireme
