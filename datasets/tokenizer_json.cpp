// tokenizer.json of the library `tokenizers`: only byte-level BPE, and of that what changes the ids of a text.
#include <algorithm>

#include "core/base/error.hpp"
#include "core/io/json_object.hpp"
#include "datasets/byte_alphabet.hpp"
#include "datasets/tokenizer_files.hpp"
#include "datasets/tokenizer_texts.hpp"

namespace trireme {
namespace {

struct KnownPattern {
  const char* expression;
  WordPattern pattern;
};

constexpr KnownPattern known_patterns[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", WordPattern::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     WordPattern::gpt4},
};

constexpr const char* supported = "supported are the pattern of ByteLevel and those of GPT-2 and GPT-4 (Llama 3)";

bool is_absent(const JsonObject& json, const char* key) { return !json.has(key) || json.value(key).is_null(); }

void refuse_kind(const JsonObject& json, const char* key, const std::string& type, const char* wanted) {
  json.refuse(key, fmt::format("has the type '{}', which is not supported: wanted {}", type, wanted));
}

/// What a part of the file says it is.
std::string type_of(const JsonObject& json, const char* key) {
  return is_absent(json, key) ? "none" : json.object(key).text("type");
}

/// ByteLevel alone, or behind the pattern of a Split.
WordPattern byte_level(const JsonObject& json) {
  if (json.has("add_prefix_space") && json.flag("add_prefix_space"))
    json.refuse("add_prefix_space", "is true: a space in front of each text is not supported");
  return !json.has("use_regex") || json.flag("use_regex") ? WordPattern::gpt2 : WordPattern::none;
}

WordPattern split_pattern(const JsonObject& json) {
  if (json.text("behavior") != "Isolated" || (json.has("invert") && json.flag("invert")))
    json.refuse("is a Split that does not keep what it finds as words of their own: not supported");
  const JsonObject pattern = json.object("pattern");
  if (!pattern.has("Regex")) pattern.refuse(fmt::format("is no regular expression; {}", supported));
  for (const auto& known : known_patterns) {
    if (pattern.text("Regex") == known.expression) return known.pattern;
  }
  pattern.refuse("Regex", fmt::format("'{}' is not supported; {}", pattern.text("Regex"), supported));
}

WordPattern pattern_of(const JsonObject& json) {
  const std::string type = type_of(json, "pre_tokenizer");
  if (type == "ByteLevel") return byte_level(json.object("pre_tokenizer"));
  if (type != "Sequence") refuse_kind(json, "pre_tokenizer", type, "ByteLevel");
  std::vector<WordPattern> splits, levels;
  std::vector<std::string> types;
  json.object("pre_tokenizer").each("pretokenizers", [&](const JsonObject& one) {
    types.push_back(one.text("type"));
    if (types.back() == "Split") splits.push_back(split_pattern(one));
    if (types.back() == "ByteLevel") levels.push_back(byte_level(one));
  });
  if (types == std::vector<std::string>{"ByteLevel"}) return levels.front();
  if (types != std::vector<std::string>{"Split", "ByteLevel"} || levels.front() != WordPattern::none) {
    json.refuse("pre_tokenizer",
                fmt::format("is a sequence of {} parts that is not supported: wanted one Split, then ByteLevel without "
                            "use_regex",
                            types.size()));
  }
  return splits.front();
}

/// Parts that would change text or ids in ways that are not known here.
void check_surroundings(const JsonObject& json) {
  if (const auto type = type_of(json, "normalizer"); type != "none")
    refuse_kind(json, "normalizer", type, "none: texts are taken as they are");
  const auto post = type_of(json, "post_processor");
  const char* const posts[] = {"none", "ByteLevel", "TemplateProcessing", "Sequence"};
  if (std::ranges::find(posts, post) == std::end(posts)) refuse_kind(json, "post_processor", post, "ByteLevel");
  if (const auto type = type_of(json, "decoder"); type != "none" && type != "ByteLevel")
    refuse_kind(json, "decoder", type, "ByteLevel");
}

void check_model(const JsonObject& model) {
  // Old files do not say the type; only BPE has merges.
  const std::string type = model.has("type") ? model.text("type") : model.has("merges") ? "BPE" : "unknown";
  if (type != "BPE") model.refuse("type", fmt::format("'{}' is not supported: wanted BPE", type));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!is_absent(model, key) && !model.text(key).empty())
      model.refuse(key, "is not empty: only byte-level tokenizers are supported");
  }
  if (!is_absent(model, "dropout") && model.value("dropout") != 0)
    model.refuse("dropout", "is set: joins that are left out at random are not supported");
  if (!is_absent(model, "byte_fallback") && model.flag("byte_fallback"))
    model.refuse("byte_fallback", "is true: only byte-level tokenizers are supported");
}

std::vector<Merge> read_merges(const JsonObject& model, const TokenTexts& texts) {
  std::vector<Merge> merges;
  const Json& list = model.list("merges");
  for (const Json& one : list) {
    if (one.is_string()) {
      const auto& text = one.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos) model.refuse("merges", fmt::format("has '{}', wanted two tokens", text));
      merges.push_back(texts.merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1)));
    } else if (one.is_array() && one.size() == 2 && one[0].is_string() && one[1].is_string()) {
      merges.push_back(texts.merge(one[0].get_ref<const std::string&>(), one[1].get_ref<const std::string&>()));
    } else {
      model.refuse("merges", fmt::format("has an entry {} that is not two tokens", merges.size()));
    }
  }
  return merges;
}

Json pre_tokenizer_json(WordPattern pattern) {
  Json level = {{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", true},
                {"use_regex", pattern == WordPattern::gpt2}};
  if (pattern != WordPattern::gpt4) return level;
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", known_patterns[1].expression}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, level})}};
}

Json model_json(const TokenizerModel& model) {
  Json vocab = Json::object(), merges = Json::array();
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    if (!model.tokens[id].empty()) vocab[spelled(model.tokens[id])] = id;
  }
  for (const auto& added : model.added) vocab[added.text] = added.id;
  const auto text = [&](std::int32_t id) { return spelled(model.tokens[static_cast<std::size_t>(id)]); };
  for (const auto& merge : model.merges) merges.push_back(text(merge.left) + " " + text(merge.right));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", model.lookup == TokenizerModel::Lookup::whole_words},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

TokenizerModel read_byte_pair_json(const Json& json, const std::string& path) {
  const JsonObject object(json, path, "");
  const JsonObject parts = object.object("model");
  check_model(parts);
  check_surroundings(object);
  TokenizerModel model;
  model.pattern = pattern_of(object);
  if (!is_absent(object, "added_tokens")) model.added = read_added(object, "added_tokens");
  const TokenTexts texts(parts.value("vocab"), path);
  model.merges = read_merges(parts, texts);
  model.tokens = texts.bytes(model.added);
  if (parts.has("ignore_merges") && parts.flag("ignore_merges")) model.lookup = TokenizerModel::Lookup::whole_words;
  return model;
}

Json byte_pair_json(const TokenizerModel& model) {
  const Json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"normalizer", nullptr},
          {"added_tokens", added_json(model.added)},
          {"pre_tokenizer", pre_tokenizer_json(model.pattern)},
          {"post_processor", nullptr},
          {"decoder", level},
          {"model", model_json(model)}};
}

}  // namespace trireme
