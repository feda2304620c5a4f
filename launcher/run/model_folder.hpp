// The files beside the weights in a folder of a language model, ours or Hugging Face's: config.json and those of the
// tokenizer. Shared by `trireme checkpoint export` and `import`.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/models/hugging_face.hpp"
#include "datasets/staged_folder.hpp"
#include "datasets/tokenizer.hpp"

namespace trireme {

/// For the target of either: a new or an empty folder.
StagedKind new_model_folder(const char* action);

/// The folder with the config.json that a path means: the file itself, its folder, a run, or a checkpoint of the run;
/// empty where there is none.
std::string folder_of_model(const std::string& path);

/// What config.json of the folder says; nothing where there is none. Its notes are logged as warnings.
std::optional<HuggingFaceConfig> read_model_config(const std::string& folder);
void write_model_config(const std::string& folder, const HuggingFaceConfig& config);

/// Where a folder made for Hugging Face has our tokenizer.json and nothing that says how to load it, writes
/// tokenizer_config.json: its general class, the token that ends texts, the model's longest sequence. The file's name,
/// or nothing where there is no need.
std::optional<std::string> describe_tokenizer(const std::string& folder, const HuggingFaceConfig& config);

/// Name and text of what a run keeps of its tokenizer: tokenizer.json, and where it is that of the model at `path` also
/// the files beside that one (how Hugging Face's libraries load it, its special tokens).
std::vector<std::pair<std::string, std::string>> tokenizer_texts(const std::string& path, const Tokenizer& tokenizer);

/// Copies the files of the tokenizer as they are; their names.
std::vector<std::string> copy_tokenizer(const std::string& from, const std::string& to);

}  // namespace trireme
