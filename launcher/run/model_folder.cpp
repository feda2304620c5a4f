#include "launcher/run/model_folder.hpp"

#include <filesystem>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_config = std::size_t{16} << 20;
constexpr std::size_t largest_tokenizer = std::size_t{1} << 30;
constexpr const char* tokenizer_files[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                           "vocab.json", "merges.txt"};

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

}  // namespace

StagedKind new_model_folder(const char* action) {
  return {.what = "new or empty folder", .option = "--to", .action = action, .is_one = [](const fs::path&) {
            return false;
          }};
}

std::string folder_of_model(const std::string& path) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return "";
  const fs::path given = fs::absolute(path).lexically_normal();
  const fs::path named = given.has_filename() ? given : given.parent_path();
  const fs::path folder = fs::is_directory(named, ignored) ? named : named.parent_path();
  for (const fs::path& one : {folder, folder.parent_path(), folder.parent_path().parent_path()})
    if (is_file((one / model_config_file).string())) return one.string();
  return "";
}

std::optional<HuggingFaceConfig> read_model_config(const std::string& folder) {
  const std::string path = folder + "/" + model_config_file;
  if (!is_file(path)) return std::nullopt;
  HuggingFaceConfig config = parse_hugging_face_config(read_file(path, largest_config), path);
  for (const std::string& note : config.notes) log::warning("{}: {}", path, harmless(note));
  return config;
}

void write_model_config(const std::string& folder, const HuggingFaceConfig& config) {
  write_file_atomically(folder + "/" + model_config_file, hugging_face_config_text(config), FileAccess::readable);
}

std::optional<std::string> describe_tokenizer(const std::string& folder, const HuggingFaceConfig& config) {
  constexpr const char* description = "tokenizer_config.json";
  const std::string file = folder + "/tokenizer.json";
  if (!is_file(file) || is_file(folder + "/" + description)) return std::nullopt;
  try {
    const Tokenizer tokenizer = Tokenizer::load(file);
    Json json{{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"model_max_length", std::visit([](const auto& one) { return one.context; }, config.model)},
              {"clean_up_tokenization_spaces", false}};
    if (const auto end = tokenizer.end_of_text()) json["eos_token"] = tokenizer.bytes_of(*end);
    write_file_atomically(folder + "/" + description, json.dump(2) + "\n", FileAccess::readable);
  } catch (const Error& error) {
    log::warning("{} is passed on as it is: {}", file,
                 harmless(error.what()));  // of a kind that is not ours to describe
    return std::nullopt;
  }
  return description;
}

std::vector<std::pair<std::string, std::string>> tokenizer_texts(const std::string& path, const Tokenizer& tokenizer) {
  std::vector<std::pair<std::string, std::string>> out = {{"tokenizer.json", tokenizer.to_text()}};
  const std::string folder = folder_of_model(path), own = folder + "/tokenizer.json";
  if (folder.empty() || !is_file(own) || Tokenizer::load(own).hash() != tokenizer.hash()) return out;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string file = folder + "/" + name;
    if (is_file(file)) out.emplace_back(name, read_file(file, largest_tokenizer));
  }
  return out;
}

std::vector<std::string> copy_tokenizer(const std::string& from, const std::string& to) {
  std::vector<std::string> copied;
  for (const char* name : tokenizer_files) {
    if (!is_file(from + "/" + name)) continue;
    write_file_atomically(to + "/" + name, read_file(from + "/" + name, largest_tokenizer), FileAccess::readable);
    copied.emplace_back(name);
  }
  return copied;
}

}  // namespace trireme
