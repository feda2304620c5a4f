// config.json of Hugging Face's models: the sizes come over, what is not implemented is refused by its name, and what
// is written reads back as the same.
#include "core/models/hugging_face.hpp"

#include <functional>

#include "core/io/json.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

const std::string path = "somewhere/config.json";

/// As the model was published, shortened.
Json gpt2() {
  return Json::parse(R"({
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
    "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
    "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
    "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
    "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257})");
}

Json llama() {
  return Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": [128001, 128008], "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 500000.0, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.40.0", "use_cache": true, "vocab_size": 128256})");
}

Json mistral() {
  Json json = llama();
  json["model_type"] = "mistral";
  json["sliding_window"] = 512;
  return json;
}

HuggingFaceConfig parsed(const Json& json) { return parse_hugging_face_config(json.dump(), path); }

Gpt2Config gpt2_of(const Json& json) { return std::get<Gpt2Config>(parsed(json).model); }
LlamaConfig llama_of(const Json& json) { return std::get<LlamaConfig>(parsed(json).model); }

void expect_equal(const LlamaConfig& a, const LlamaConfig& b) {
  EXPECT_EQ(std::tie(a.vocabulary, a.context, a.width, a.layers, a.heads, a.kv_heads, a.head_size, a.inner, a.epsilon),
            std::tie(b.vocabulary, b.context, b.width, b.layers, b.heads, b.kv_heads, b.head_size, b.inner, b.epsilon));
  EXPECT_EQ(std::tie(a.rope_base, a.window, a.head), std::tie(b.rope_base, b.window, b.head));
}

void expect_equal(const Gpt2Config& a, const Gpt2Config& b) {
  EXPECT_EQ(std::tie(a.vocabulary, a.context, a.width, a.layers, a.heads, a.inner, a.epsilon, a.dropout),
            std::tie(b.vocabulary, b.context, b.width, b.layers, b.heads, b.inner, b.epsilon, b.dropout));
}

TEST(HuggingFaceConfig, TheSmallestGpt2IsTheDefault) {
  const HuggingFaceConfig config = parsed(gpt2());
  Gpt2Config wanted;
  wanted.dropout = 0.1;
  expect_equal(std::get<Gpt2Config>(config.model), wanted);
  EXPECT_EQ(config.dtype, DType::f32);
  EXPECT_EQ(config.begin_token, 50256);
  EXPECT_EQ(config.end_tokens, std::vector<std::int64_t>{50256});
  ASSERT_EQ(config.notes.size(), 1U);
  EXPECT_NE(config.notes[0].find("attn_pdrop is 0.1"), std::string::npos) << config.notes[0];
}

TEST(HuggingFaceConfig, OtherSizesOfGpt2) {
  Json json = gpt2();
  json.update({{"n_inner", 100}, {"n_embd", 72}, {"n_head", 9}, {"embd_pdrop", 0.2}, {"resid_pdrop", 0}});
  EXPECT_EQ(gpt2_of(json).inner, 100);
  EXPECT_EQ(gpt2_of(json).dropout, 0);
  EXPECT_EQ(parsed(json).notes.size(), 2U);
  json["n_inner"] = nullptr;
  EXPECT_EQ(gpt2_of(json).inner, 288);
  json["activation_function"] = "gelu_pytorch_tanh";
  EXPECT_EQ(gpt2_of(json).width, 72);
}

TEST(HuggingFaceConfig, Llama) {
  const HuggingFaceConfig config = parsed(llama());
  LlamaConfig wanted{.vocabulary = 128256,
                     .context = 8192,
                     .width = 4096,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 8,
                     .head_size = 128,
                     .inner = 14336,
                     .epsilon = 1e-5,
                     .rope_base = 500000,
                     .window = 0,
                     .head = LlamaConfig::Head::own};
  expect_equal(std::get<LlamaConfig>(config.model), wanted);
  EXPECT_EQ(config.dtype, DType::bf16);
  EXPECT_EQ(config.end_tokens, (std::vector<std::int64_t>{128001, 128008}));
  EXPECT_TRUE(config.notes.empty()) << config.notes.front();
}

TEST(HuggingFaceConfig, FormsOfNewerVersions) {
  Json json = llama();
  json.erase("rope_theta");
  json.erase("rope_scaling");
  json.erase("torch_dtype");
  json["rope_parameters"] = {{"rope_theta", 7000.0}, {"rope_type", "default"}};
  json["dtype"] = "float16";
  json["head_dim"] = 64;
  json["tie_word_embeddings"] = true;
  json.erase("num_key_value_heads");
  EXPECT_EQ(llama_of(json).rope_base, 7000);
  EXPECT_EQ(llama_of(json).head_size, 64);
  EXPECT_EQ(llama_of(json).kv_heads, 32);
  EXPECT_EQ(llama_of(json).head, LlamaConfig::Head::tied);
  EXPECT_EQ(parsed(json).dtype, DType::f16);
  json.erase("rope_parameters");
  EXPECT_EQ(llama_of(json).rope_base, 10000) << "what the key's absence means there";
}

TEST(HuggingFaceConfig, TheWindowOfMistral) {
  EXPECT_EQ(llama_of(mistral()).window, 512);
  Json json = mistral();
  json["sliding_window"] = nullptr;
  EXPECT_EQ(llama_of(json).window, 0);
  json.erase("sliding_window");
  EXPECT_EQ(llama_of(json).window, 4096) << "what the key's absence means there";
}

TEST(HuggingFaceConfig, UnknownKeysAreSaid) {
  Json json = llama();
  json["colour"] = "blue";
  const auto notes = parsed(json).notes;
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0], "\"colour\" is not known and left out");
}

struct Change {
  const char* key;
  Json value;
  std::vector<std::string> words;
};

void expect_refused(const Json& whole, const std::vector<Change>& changes) {
  parsed(whole);
  for (const Change& change : changes) {
    Json json = whole;
    json[change.key] = change.value;
    SCOPED_TRACE(std::string(change.key) + ": " + change.value.dump());
    std::vector<std::string> words = change.words;
    words.insert(words.end(), {path, change.key});
    expect_error(ExitCode::corrupt_input, words, [&] { parsed(json); });
  }
}

TEST(HuggingFaceConfig, WhatGpt2CannotBeHereIsRefused) {
  expect_refused(gpt2(), {{"activation_function", "relu", {"\"relu\"", "gelu_new"}},
                          {"activation_function", "gelu", {"\"gelu\""}},
                          {"scale_attn_by_inverse_layer_idx", true, {"not implemented"}},
                          {"scale_attn_weights", false, {"not implemented"}},
                          {"add_cross_attention", true, {"not implemented"}},
                          {"tie_word_embeddings", false, {"not implemented"}},
                          {"quantization_config", {{"bits", 4}}, {"not implemented"}},
                          {"model_type", "gptj", {"gpt2, llama and mistral"}},
                          {"model_type", 7, {"not a text"}},
                          {"n_head", 7, {"n_embd is 768", "multiple of n_head, 7"}},
                          {"n_layer", 0, {"is 0"}},
                          {"n_layer", 10001, {"from 1 to 10000"}},
                          {"n_embd", -768, {"not an integer"}},
                          {"n_embd", 1LL << 40, {"from 1 to"}},
                          {"n_embd", 768.5, {"not an integer"}},
                          {"n_positions", nullptr, {"is missing"}},
                          {"layer_norm_epsilon", 0, {"above 0"}},
                          {"layer_norm_epsilon", "small", {"above 0"}},
                          {"resid_pdrop", 1, {"below 1"}},
                          {"resid_pdrop", -0.1, {"below 1"}},
                          {"eos_token_id", "x", {"no number of a token"}},
                          {"bos_token_id", -1, {"no number of a token"}}});
}

TEST(HuggingFaceConfig, WhatLlamaCannotBeHereIsRefused) {
  expect_refused(llama(),
                 {{"hidden_act", "gelu", {"\"gelu\"", "silu"}},
                  {"attention_bias", true, {"not implemented"}},
                  {"mlp_bias", true, {"not implemented"}},
                  {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}, {"not implemented"}},
                  {"rope_scaling", {{"type", "linear"}}, {"\"linear\""}},
                  {"rope_scaling", {{"rope_type", "default"}, {"factor", 8.0}}, {"\"factor\""}},
                  {"rope_scaling", 2, {"not an object"}},
                  {"rope_parameters", {{"rope_theta", 1e4}, {"rope_type", "yarn"}}, {"\"yarn\""}},
                  {"partial_rotary_factor", 0.5, {"not implemented"}},
                  {"layer_types", {"sliding_attention"}, {"not implemented"}},
                  {"num_key_value_heads", 5, {"num_attention_heads is 32", "multiple of num_key_value_heads, 5"}},
                  {"num_attention_heads", 24, {"hidden_size is 4096", "multiple of num_attention_heads, 24"}},
                  {"head_dim", 63, {"even"}},
                  {"rope_theta", -1, {"above 0"}},
                  {"tie_word_embeddings", "yes", {"not implemented"}}});
  expect_refused(mistral(), {{"sliding_window", 0, {"is 0"}}, {"sliding_window", "all", {"not an integer"}}});
}

TEST(HuggingFaceConfig, WhatIsNoSuchFileIsRefused) {
  for (const char* text : {"", "{", "[]", "7", R"({"model_type":"gpt2","model_type":"llama"})"}) {
    expect_error(ExitCode::corrupt_input, {path}, [&] { parse_hugging_face_config(text, path); });
  }
}

TEST(HuggingFaceConfig, WhatIsWrittenReadsBack) {
  const Gpt2Config small{.vocabulary = 99,
                         .context = 16,
                         .width = 24,
                         .layers = 2,
                         .heads = 3,
                         .inner = 50,
                         .epsilon = 3e-6,
                         .dropout = 0.25};
  HuggingFaceConfig config{.model = small, .dtype = DType::f16, .begin_token = 5, .end_tokens = {6}};
  HuggingFaceConfig back = parse_hugging_face_config(hugging_face_config_text(config), path);
  expect_equal(std::get<Gpt2Config>(back.model), small);
  EXPECT_EQ(back.dtype, DType::f16);
  EXPECT_EQ(back.begin_token, 5);
  EXPECT_EQ(back.end_tokens, std::vector<std::int64_t>{6});
  EXPECT_TRUE(back.notes.empty()) << back.notes.front();
  for (const std::int64_t window : {0, 7}) {
    LlamaConfig model = llama_of(llama());
    model.window = window;
    model.head_size = 62;
    model.head = window > 0 ? LlamaConfig::Head::tied : LlamaConfig::Head::own;
    config = {.model = model, .dtype = DType::bf16, .begin_token = {}, .end_tokens = {1, 2}};
    const std::string text = hugging_face_config_text(config);
    EXPECT_EQ(Json::parse(text)["architectures"],
              Json::array({window > 0 ? "MistralForCausalLM" : "LlamaForCausalLM"}));
    back = parse_hugging_face_config(text, path);
    expect_equal(std::get<LlamaConfig>(back.model), model);
    EXPECT_EQ(back.begin_token, std::nullopt);
    EXPECT_EQ(back.end_tokens, (std::vector<std::int64_t>{1, 2}));
    EXPECT_TRUE(back.notes.empty()) << back.notes.front();
  }
}

}  // namespace
}  // namespace trireme
