#include "core/models/hugging_face.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "core/base/error.hpp"
#include "core/io/json_object.hpp"

namespace trireme {
namespace {

constexpr const char* config_kind = "the config.json of a Hugging Face model";
/// Far beyond any model; products of two stay below 2^63.
constexpr std::int64_t largest_size = std::int64_t{1} << 30;
constexpr std::int64_t most_layers = 10000;

/// Keys that say nothing about what the model computes.
const std::set<std::string> without_effect = {"_name_or_path",
                                              "architectures",
                                              "auto_map",
                                              "chunk_size_feed_forward",
                                              "id2label",
                                              "initializer_range",
                                              "is_decoder",
                                              "is_encoder_decoder",
                                              "label2id",
                                              "n_ctx",
                                              "output_attentions",
                                              "output_hidden_states",
                                              "output_past",
                                              "pad_token_id",
                                              "predict_special_tokens",
                                              "pretraining_tp",
                                              "problem_type",
                                              "return_dict",
                                              "summary_activation",
                                              "summary_first_dropout",
                                              "summary_proj_to_labels",
                                              "summary_type",
                                              "summary_use_proj",
                                              "task_specific_params",
                                              "tokenizer_class",
                                              "transformers_version",
                                              "unk_token_id",
                                              "use_cache"};

/// The values of the file by their keys, each with its check; keeps account of the keys that were asked for. A null
/// counts as absent, as it does there.
class Keys {
 public:
  Keys(const Json& json, const std::string& path) : json_(json), object_(json, path, "") {}

  const JsonObject& object() const { return object_; }
  /// Null where it is absent.
  const Json* find(const char* key) {
    asked_.insert(key);
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  std::int64_t size(const char* key, std::int64_t most = largest_size) {
    if (find(key) == nullptr) object_.refuse(key, "is missing");
    const std::int64_t found = object_.count(key);
    if (found < 1 || found > most) object_.refuse(key, fmt::format("is {}, wanted from 1 to {}", found, most));
    return found;
  }
  std::int64_t size_or(const char* key, std::int64_t otherwise) { return find(key) == nullptr ? otherwise : size(key); }
  double positive_or(const char* key, double otherwise) {
    const Json* const found = find(key);
    if (found == nullptr) return otherwise;
    const double value = found->is_number() ? found->get<double>() : 0;
    if (!(value > 0 && std::isfinite(value)))
      object_.refuse(key, fmt::format("is {}, wanted a number above 0", found->dump()));
    return value;
  }
  double share_or(const char* key, double otherwise) {
    const Json* const found = find(key);
    if (found == nullptr) return otherwise;
    const double value = found->is_number() ? found->get<double>() : -1;
    if (!(value >= 0 && value < 1)) object_.refuse(key, fmt::format("is {}, wanted from 0 to below 1", found->dump()));
    return value;
  }
  /// Refuses any other value than these, of which the first is that of an absent key.
  void only(const char* key, const std::vector<Json>& values) {
    const Json* const found = find(key);
    if (found == nullptr || std::ranges::find(values, *found) != values.end()) return;
    object_.refuse(
        key, fmt::format("is {}, which is not implemented here (it is {})", found->dump(), values.front().dump()));
  }
  void absent(const char* key) {
    if (const Json* const found = find(key)) {
      object_.refuse(key, fmt::format("is {}, which is not implemented here (it is absent)", found->dump()));
    }
  }
  /// The keys that nobody asked for and that may mean something.
  std::vector<std::string> unknown() const {
    std::vector<std::string> out;
    for (const auto& [key, value] : json_.items()) {
      if (!asked_.contains(key) && !without_effect.contains(key)) out.push_back(key);
    }
    return out;
  }

 private:
  const Json& json_;
  JsonObject object_;
  std::set<std::string> asked_;
};

using NamedSize = std::pair<const char*, std::int64_t>;

void check_multiple(const Keys& keys, const NamedSize& size, const NamedSize& of) {
  if (size.second % of.second == 0) return;
  keys.object().refuse(size.first,
                       fmt::format("is {}, which is no multiple of {}, {}", size.second, of.first, of.second));
}

void note_share(Keys& keys, const char* key, std::vector<std::string>& notes) {
  if (const double share = keys.share_or(key, 0); share > 0) {
    notes.push_back(fmt::format("{} is {}: training here has no dropout inside attention", key, share));
  }
}

Gpt2Config gpt2_of(Keys& keys, std::vector<std::string>& notes) {
  Gpt2Config out{.vocabulary = keys.size("vocab_size"),
                 .context = keys.size("n_positions"),
                 .width = keys.size("n_embd"),
                 .layers = keys.size("n_layer", most_layers),
                 .heads = keys.size("n_head"),
                 .inner = 0,
                 .epsilon = keys.positive_or("layer_norm_epsilon", 1e-5),
                 .dropout = keys.share_or("resid_pdrop", 0.1)};
  out.inner = keys.size_or("n_inner", 4 * out.width);
  check_multiple(keys, {"n_embd", out.width}, {"n_head", out.heads});
  // Two names of one function, the tanh form of GELU.
  keys.only("activation_function", {"gelu_new", "gelu_pytorch_tanh"});
  keys.only("scale_attn_weights", {true});
  keys.only("scale_attn_by_inverse_layer_idx", {false});
  keys.only("add_cross_attention", {false});
  keys.only("tie_word_embeddings", {true});
  if (const double share = keys.share_or("embd_pdrop", 0.1); share != out.dropout) {
    notes.push_back(fmt::format("embd_pdrop is {}: training here has resid_pdrop, {}, there too", share, out.dropout));
  }
  if (keys.find("attn_pdrop") != nullptr) note_share(keys, "attn_pdrop", notes);
  if (const Json* upcast = keys.find("reorder_and_upcast_attn"); upcast != nullptr && *upcast != false) {
    notes.push_back("reorder_and_upcast_attn is set: it changes rounding alone and has no counterpart here");
  }
  return out;
}

/// rope_scaling of older files and rope_parameters of newer ones: nothing but the plain rotary positions.
void check_rope(Keys& keys, const char* key, double& base) {
  const Json* const found = keys.find(key);
  if (found == nullptr) return;
  if (!found->is_object()) keys.object().refuse(key, "is not an object");
  for (const auto& [name, value] : found->items()) {
    const bool is_type = name == "rope_type" || name == "type";
    if (is_type && value == "default") continue;
    if (is_type) keys.object().refuse(key, fmt::format("is of type {}, which is not implemented here", value.dump()));
    if (name == "partial_rotary_factor" && value == 1) continue;
    const bool is_base = name == "rope_theta" && value.is_number() && value.get<double>() > 0;
    if (!is_base) {
      keys.object().refuse(key,
                           fmt::format("has {} of {}, which is not implemented here", Json(name).dump(), value.dump()));
    }
    base = value.get<double>();
  }
}

LlamaConfig llama_of(Keys& keys, std::vector<std::string>& notes) {
  LlamaConfig out{.vocabulary = keys.size("vocab_size"),
                  .context = keys.size("max_position_embeddings"),
                  .width = keys.size("hidden_size"),
                  .layers = keys.size("num_hidden_layers", most_layers),
                  .heads = keys.size("num_attention_heads"),
                  .kv_heads = 0,
                  .head_size = 0,
                  .inner = keys.size("intermediate_size"),
                  .epsilon = keys.positive_or("rms_norm_eps", 1e-6),
                  .rope_base = keys.positive_or("rope_theta", 10000.0),
                  .window = 0,
                  .head = LlamaConfig::Head::own};
  out.kv_heads = keys.size_or("num_key_value_heads", out.heads);
  check_multiple(keys, {"num_attention_heads", out.heads}, {"num_key_value_heads", out.kv_heads});
  if (keys.find("head_dim") == nullptr) {
    check_multiple(keys, {"hidden_size", out.width}, {"num_attention_heads", out.heads});
  }
  out.head_size = keys.size_or("head_dim", std::max<std::int64_t>(out.width / out.heads, 1));
  if (out.head_size % 2 != 0) {
    keys.object().refuse("head_dim", fmt::format("is {}: rotary positions want an even one", out.head_size));
  }
  check_rope(keys, "rope_scaling", out.rope_base);
  check_rope(keys, "rope_parameters", out.rope_base);
  keys.only("partial_rotary_factor", {1});
  keys.only("hidden_act", {"silu", "swish"});
  keys.only("attention_bias", {false});
  keys.only("mlp_bias", {false});
  keys.absent("layer_types");
  keys.only("tie_word_embeddings", {false, true});
  const Json* const tied = keys.find("tie_word_embeddings");
  if (tied != nullptr && *tied == true) out.head = LlamaConfig::Head::tied;
  note_share(keys, "attention_dropout", notes);
  return out;
}

/// Where the key is absent, mistral's window is that of its first model; null is none.
std::int64_t window_of(Keys& keys) {
  constexpr std::int64_t first_model = 4096;
  if (!keys.object().has("sliding_window")) return first_model;
  return keys.size_or("sliding_window", 0);
}

constexpr std::array<std::pair<const char*, DType>, 4> torch_names = {
    {{"float32", DType::f32}, {"bfloat16", DType::bf16}, {"float16", DType::f16}, {"float64", DType::f64}}};

DType dtype_of_weights(Keys& keys, std::vector<std::string>& notes) {
  const Json* found = keys.find("dtype");  // The newer name of the key.
  if (const Json* const older = keys.find("torch_dtype"); found == nullptr) found = older;
  if (found == nullptr) return DType::f32;
  for (const auto& [name, dtype] : torch_names) {
    if (*found == name) return dtype;
  }
  notes.push_back(fmt::format("torch_dtype is {}, which is not known", found->dump()));
  return DType::f32;
}

void read_tokens(Keys& keys, HuggingFaceConfig& out) {
  const auto id = [&](const char* key, const Json& value) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(largest_size)) {
      keys.object().refuse(key, fmt::format("has {}, which is no number of a token", value.dump()));
    }
    return value.get<std::int64_t>();
  };
  if (const Json* const begin = keys.find("bos_token_id")) out.begin_token = id("bos_token_id", *begin);
  const Json* const end = keys.find("eos_token_id");
  if (end == nullptr) return;
  if (!end->is_array()) {
    out.end_tokens.push_back(id("eos_token_id", *end));
    return;
  }
  for (const Json& one : *end) out.end_tokens.push_back(id("eos_token_id", one));
}

Json encode(const Gpt2Config& model) {
  return {{"model_type", "gpt2"},
          {"architectures", {"GPT2LMHeadModel"}},
          {"vocab_size", model.vocabulary},
          {"n_positions", model.context},
          {"n_embd", model.width},
          {"n_layer", model.layers},
          {"n_head", model.heads},
          {"n_inner", model.inner},
          {"layer_norm_epsilon", model.epsilon},
          {"resid_pdrop", model.dropout},
          {"embd_pdrop", model.dropout},
          {"attn_pdrop", 0.0},
          {"activation_function", "gelu_new"},
          {"scale_attn_weights", true},
          {"scale_attn_by_inverse_layer_idx", false},
          {"reorder_and_upcast_attn", false},
          {"tie_word_embeddings", true}};
}

Json encode(const LlamaConfig& model) {
  const bool windowed = model.window > 0;
  Json json{{"model_type", windowed ? "mistral" : "llama"},
            {"architectures", {windowed ? "MistralForCausalLM" : "LlamaForCausalLM"}},
            {"vocab_size", model.vocabulary},
            {"max_position_embeddings", model.context},
            {"hidden_size", model.width},
            {"num_hidden_layers", model.layers},
            {"num_attention_heads", model.heads},
            {"num_key_value_heads", model.kv_heads},
            {"head_dim", model.head_size},
            {"intermediate_size", model.inner},
            {"rms_norm_eps", model.epsilon},
            {"rope_theta", model.rope_base},
            {"hidden_act", "silu"},
            {"attention_dropout", 0.0},
            {"tie_word_embeddings", model.head == LlamaConfig::Head::tied}};
  if (windowed) {
    json["sliding_window"] = model.window;
  } else {
    json.update({{"attention_bias", false}, {"mlp_bias", false}, {"rope_scaling", nullptr}});
  }
  return json;
}

}  // namespace

HuggingFaceConfig parse_hugging_face_config(const std::string& text, const std::string& path) {
  const Json json = parse_json(text, path, config_kind);
  Keys keys(json, path);
  HuggingFaceConfig out;
  keys.find("model_type");
  const std::string& type = keys.object().text("model_type");
  keys.absent("quantization_config");
  if (type == "gpt2") {
    out.model = gpt2_of(keys, out.notes);
  } else if (type == "llama" || type == "mistral") {
    LlamaConfig model = llama_of(keys, out.notes);
    if (type == "mistral") model.window = window_of(keys);
    out.model = model;
  } else {
    keys.object().refuse("model_type",
                         fmt::format("is {}; gpt2, llama and mistral are implemented", Json(type).dump()));
  }
  out.dtype = dtype_of_weights(keys, out.notes);
  read_tokens(keys, out);
  for (const std::string& key : keys.unknown()) {
    out.notes.push_back(fmt::format("{} is not known and left out", Json(key).dump()));
  }
  return out;
}

std::string hugging_face_config_text(const HuggingFaceConfig& config) {
  Json json = std::visit([](const auto& model) { return encode(model); }, config.model);
  for (const auto& [name, dtype] : torch_names) {
    if (dtype == config.dtype) json["torch_dtype"] = name;
  }
  require(json.contains("torch_dtype"), "weights of {} have no name in config.json", name_of(config.dtype));
  json["use_cache"] = true;
  json["bos_token_id"] = config.begin_token ? Json(*config.begin_token) : Json(nullptr);
  json["eos_token_id"] = nullptr;
  if (config.end_tokens.size() == 1) json["eos_token_id"] = config.end_tokens.front();
  if (config.end_tokens.size() > 1) json["eos_token_id"] = config.end_tokens;
  return dump_json(json) + "\n";
}

}  // namespace trireme
