#include "datasets/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <unordered_map>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/json_object.hpp"
#include "datasets/byte_alphabet.hpp"
#include "datasets/tokenizer_files.hpp"
#include "datasets/tokenizer_state.hpp"
#include "datasets/tokenizer_texts.hpp"
#include "datasets/unicode_classes.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr const char* ends_of_text[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[EOS]"};

/// A vocabulary and its merges, as OpenAI published GPT-2's and as Hugging Face's older folders have them.
constexpr std::pair<const char*, const char*> pairs_of_files[] = {{"encoder.json", "vocab.bpe"},
                                                                  {"vocab.json", "merges.txt"}};

[[noreturn]] void no_model(const std::string& problem) {
  fail(ExitCode::corrupt_input, "the tokenizer cannot be used: {}", problem);
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character c = first_character(text);
    if (!c.valid()) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

void check_added(TokenizerModel& model) {
  std::ranges::sort(model.added, {}, &AddedToken::id);
  for (std::size_t k = 0; k < model.added.size(); ++k) {
    const auto& [text, id, kind] = model.added[k];
    if (text.empty() || !is_utf8(text)) no_model(fmt::format("the added token of id {} is no text", id));
    if (k > 0 && model.added[k - 1].id == id)
      no_model(fmt::format("'{}' and '{}' have the same id {}", model.added[k - 1].text, text, id));
    for (std::size_t other = 0; other < k; ++other) {
      if (model.added[other].text == text) no_model(fmt::format("'{}' is added twice", text));
    }
    const auto at = to_size(id);
    const std::size_t most = 2 * (model.tokens.size() + model.added.size()) + 1024;
    if (at >= most) no_model(fmt::format("'{}' has the id {}, but there are {} tokens", text, id, model.tokens.size()));
    if (at >= model.tokens.size()) model.tokens.resize(at + 1);
    if (!model.tokens[at].empty()) no_model(fmt::format("the id {} of '{}' is that of another token", id, text));
  }
}

void check_pairs(const TokenizerModel& model) {
  const auto text = [&](std::int32_t id) -> const std::string& {
    const bool known = id >= 0 && to_size(id) < model.tokens.size() && !model.tokens[to_size(id)].empty();
    if (!known) no_model(fmt::format("a merge speaks of the id {}, which has no token", id));
    return model.tokens[to_size(id)];
  };
  for (const auto& merge : model.merges) {
    if (text(merge.left) + text(merge.right) != text(merge.result))
      no_model(
          fmt::format("the merge of the ids {} and {} does not make the id {}", merge.left, merge.right, merge.result));
  }
}

void check_characters(const TokenizerModel& model) {
  if (!model.merges.empty()) no_model("a tokenizer by characters has merges");
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    const std::string& token = model.tokens[id];
    if (token.empty()) {
      if (std::ranges::none_of(model.added, [&](const AddedToken& one) { return to_size(one.id) == id; }))
        no_model(fmt::format("the character of id {} is missing", id));
      continue;
    }
    const Utf8Character c = first_character(token);
    if (!c.valid() || c.bytes != token.size()) no_model(fmt::format("'{}' is not one character", token));
  }
}

Tokenizer load_file(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  const std::string folder = fs::path(path).parent_path().string();
  const std::string front = folder.empty() ? "" : folder + "/";
  for (const auto& [vocabulary, merges] : pairs_of_files) {
    if (name != vocabulary && name != merges) continue;
    for (const char* needed : {vocabulary, merges}) {
      if (!fs::is_regular_file(front + needed))
        fail(ExitCode::corrupt_input, "{} is half a tokenizer: {}{} is missing", path, front, needed);
    }
    return Tokenizer(read_gpt2_files(front + vocabulary, front + merges));
  }
  return Tokenizer::parse(read_file(path, most_tokenizer_bytes), path);
}

/// How many bytes at the end of a text begin a UTF-8 character that could go on.
std::size_t begun(std::string_view text) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(3, text.size()); ++bytes) {
    const auto lead = static_cast<unsigned char>(text[text.size() - bytes]);
    if ((lead & 0xc0) == 0x80) continue;
    const std::size_t wanted = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
    return wanted > bytes && lead < 0xf5 ? bytes : 0;
  }
  return 0;
}

}  // namespace

Tokenizer::State::State(TokenizerModel checked) : model(std::move(checked)), pairs(model.merges) {
  bytes.fill(-1);
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    const std::string& token = model.tokens[id];
    const auto number = static_cast<std::int32_t>(id);
    if (model.kind == TokenizerModel::Kind::characters) {
      if (!token.empty() && !characters.emplace(first_character(token).code, number).second)
        no_model(fmt::format("'{}' is in the vocabulary twice", token));
      continue;
    }
    if (token.size() == 1) bytes[static_cast<unsigned char>(token.front())] = number;
    if (!token.empty() && !words.emplace(token, number).second) no_model("two ids have the same bytes");
  }
  if (model.kind == TokenizerModel::Kind::byte_pairs) {
    const auto missing = std::ranges::find(bytes, -1);
    if (missing != bytes.end())
      no_model(fmt::format("there is no token for the byte {:#04x}", missing - bytes.begin()));
  }
  for (const auto& added : model.added) {
    special.emplace(added.text, added.id);
    const auto spelt = unspelled(added.text);
    if (spelt && words.contains(*spelt)) no_model(fmt::format("'{}' has two ids", added.text));
  }
}

Tokenizer::Tokenizer(TokenizerModel model) {
  check_added(model);
  if (model.tokens.empty() || std::ssize(model.tokens) > most_token_id + 1)
    no_model(fmt::format("it has {} tokens, wanted 1 to {}", model.tokens.size(), most_token_id + 1));
  if (model.kind == TokenizerModel::Kind::characters) {
    check_characters(model);
  } else {
    check_pairs(model);
  }
  auto state = std::make_shared<State>(std::move(model));
  state_ = state;
  state->hash = hash_text(to_text());
}

namespace {

/// The file of a folder by which its tokenizer is loaded; empty: none.
std::string file_in(const std::string& folder) {
  std::error_code error;
  for (const char* name : {tokenizer_file_name, pairs_of_files[0].first, pairs_of_files[1].first}) {
    if (fs::is_regular_file(fs::path(folder) / name, error)) return (fs::path(folder) / name).string();
  }
  return "";
}

}  // namespace

bool Tokenizer::is_in(const std::string& folder) { return !file_in(folder).empty(); }

Tokenizer Tokenizer::load(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    if (!fs::exists(path, error)) fail(ExitCode::corrupt_input, "there is no tokenizer {}", path);
    return load_file(path);
  }
  if (const std::string file = file_in(path); !file.empty()) return load_file(file);
  fail(ExitCode::corrupt_input,
       "{} holds no tokenizer: wanted {}, encoder.json and vocab.bpe, or vocab.json and merges.txt", path,
       tokenizer_file_name);
}

Tokenizer Tokenizer::parse(const std::string& text, const std::string& path) {
  const Json json = parse_json(text, path, "a tokenizer");
  const JsonObject object(json, path, "");
  try {
    if (object.has("format") && object.text("format") == characters_format)
      return Tokenizer(read_characters_json(json, path));
    if (!object.has("model")) {
      object.refuse(
          fmt::format("is no tokenizer: wanted tokenizer.json with a model, or the format {}", characters_format));
    }
    return Tokenizer(read_byte_pair_json(json, path));
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(path)) throw;
    fail(error.code(), "{}: {}", path, error.what());
  }
}

std::string Tokenizer::to_text() const {
  const TokenizerModel& model = state_->model;
  const bool pairs = model.kind == TokenizerModel::Kind::byte_pairs;
  return dump_json(pairs ? byte_pair_json(model) : characters_json(model)) + "\n";
}

void Tokenizer::save(const std::string& path) const {
  const bool file = fs::path(path).extension() == ".json";
  const fs::path folder = file ? fs::path(path).parent_path() : fs::path(path);
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error) fail(ExitCode::storage, "cannot create the folder '{}': {}", folder.string(), error.message());
  write_file_atomically(file ? path : path + "/" + tokenizer_file_name, to_text(), FileAccess::readable);
}

const Hash128& Tokenizer::hash() const { return state_->hash; }
const TokenizerModel& Tokenizer::model() const { return state_->model; }
std::int64_t Tokenizer::vocabulary() const { return std::ssize(state_->model.tokens); }

std::string_view Tokenizer::kind() const {
  return state_->model.kind == TokenizerModel::Kind::byte_pairs ? "byte pairs" : "characters";
}

std::optional<std::int32_t> Tokenizer::special(std::string_view name) const {
  const auto found = state_->special.find(std::string(name));
  if (found == state_->special.end()) return std::nullopt;
  return found->second;
}

std::optional<std::int32_t> Tokenizer::end_of_text() const {
  for (const char* name : ends_of_text) {
    if (const auto id = special(name)) return id;
  }
  return std::nullopt;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<std::int32_t> ids;
  TokenEncoder(*this, special).encode(text, ids);
  return ids;
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const {
  const TokenizerModel& model = state_->model;
  if (id >= 0 && to_size(id) < model.tokens.size()) {
    if (const std::string& token = model.tokens[to_size(id)]; !token.empty()) return token;
    const auto added = std::ranges::lower_bound(model.added, id, {}, &AddedToken::id);
    if (added != model.added.end() && added->id == id) return added->text;
  }
  fail(ExitCode::corrupt_input, "the tokenizer has no token of the id {}; its ids are below {}", id, vocabulary());
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) text += bytes_of(id);
  return text;
}

std::string TextStream::add(std::int32_t id) {
  held_ += tokenizer_.bytes_of(id);
  std::string text = held_.substr(0, held_.size() - begun(held_));
  held_.erase(0, text.size());
  return text;
}

std::string TextStream::end() { return std::exchange(held_, {}); }

}  // namespace trireme
