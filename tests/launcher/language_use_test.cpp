// Trained language models in use: read back from an imported folder, writing on from prompts, judging questions; and
// what each refuses. The model is the tiny GPT-2 of tests/golden/models, whose weights are random.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "comm/self_communicator.hpp"
#include "core/io/file.hpp"
#include "core/models/generate.hpp"
#include "datasets/bigram.hpp"
#include "datasets/tokenizer_model.hpp"
#include "launcher/run/choice_scoring.hpp"
#include "launcher/run/loaded_model.hpp"
#include "launcher/run/model_options.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// 52 letters and an end-of-text token: the golden model's vocabulary of 53.
Tokenizer letters() {
  TokenizerModel model{.kind = TokenizerModel::Kind::characters};
  for (char c = 'a'; c <= 'z'; ++c) model.tokens.emplace_back(1, c);
  for (char c = 'A'; c <= 'Y'; ++c) model.tokens.emplace_back(1, c);
  model.tokens.emplace_back(" ");
  model.tokens.emplace_back();
  model.added.push_back({.text = "<|endoftext|>", .id = 52});
  return Tokenizer(model);
}

class LanguageUse : public testing::Test {
 protected:
  TempDir dir;
  std::string folder = dir / "imported";
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};

  void SetUp() override {
    const std::string golden = std::string(TRIREME_SOURCE_DIR) + "/tests/golden/models/gpt2";
    const Answer made = answer_of({"checkpoint", "import", golden, "--to", folder});
    ASSERT_EQ(made.code, 0) << made.err;
    letters().save(folder);
  }
};

TEST_F(LanguageUse, AnImportedModelWritesTheSameTextEachTime) {
  const auto text = [&](std::vector<std::string> more) {
    std::vector<std::string> words{"generate", folder, "--prompt", "It was", "--tokens", "12"};
    words.insert(words.end(), more.begin(), more.end());
    const Answer out = answer_of(words);
    EXPECT_EQ(out.code, 0) << out.err;
    return out.out;
  };
  const std::string greedy = text({"--temperature", "0"});
  EXPECT_EQ(greedy.substr(0, 6), "It was");
  EXPECT_EQ(greedy, text({"--temperature", "0", "--no-cache"}));
  EXPECT_EQ(greedy, text({"--top-k", "1", "--seed", "9"}));
  EXPECT_EQ(text({"--seed", "4"}), text({"--seed", "4"}));
  EXPECT_NE(text({"--seed", "4"}), text({"--seed", "5"}));
  EXPECT_EQ(text({"--seed", "4", "--no-stream"}), "== 1\n" + text({"--seed", "4"}));
}

TEST_F(LanguageUse, PromptsOfAFileAreWrittenOnTogether) {
  write_file_atomically(dir / "prompts", "abc\nTo\n");
  const Answer out =
      answer_of({"generate", folder, "--prompt-file", dir / "prompts", "--tokens", "5", "--temperature", "0"});
  ASSERT_EQ(out.code, 0) << out.err;
  const Answer first = answer_of({"generate", folder, "--prompt", "abc", "--tokens", "5", "--temperature", "0"});
  const Answer second = answer_of({"generate", folder, "--prompt", "To", "--tokens", "5", "--temperature", "0"});
  EXPECT_EQ(out.out, "== 1\n" + first.out + "== 2\n" + second.out);
}

TEST_F(LanguageUse, WhatCannotBeWrittenOnIsRefused) {
  const auto refused = [&](std::vector<std::string> words, int code, const std::string& word) {
    words.insert(words.begin(), "generate");
    const Answer out = answer_of(words);
    EXPECT_EQ(out.code, code) << out.err;
    EXPECT_NE(out.err.find(word), std::string::npos) << out.err;
  };
  refused({folder, "--prompt", std::string(20, 'a')}, 2, "context is 20");
  refused({folder, "--prompt", "a", "--temperature", "-1"}, 2, "--temperature");
  refused({folder, "--prompt", "a", "--top-p", "0"}, 2, "--top-p");
  refused({folder, "--prompt", "\xc3\xa9"}, 15, "vocabulary");
  refused({dir / "nowhere", "--prompt", "a"}, 2, "config.json");
  fs::remove(folder + "/tokenizer.json");
  refused({folder, "--prompt", "a"}, 2, "tokenizer.json");
  letters().save(folder);
  std::string config = read_file(folder + "/config.json");
  const std::size_t at = config.find("\"n_layer\": 2");
  ASSERT_NE(at, std::string::npos) << config;
  config.replace(at, 12, "\"n_layer\": 1");
  write_file_atomically(folder + "/config.json", config);
  refused({folder, "--prompt", "a"}, 15, "transformer.h.1");
}

TEST_F(LanguageUse, ChoicesAreScoredByTheModelsProbabilities) {
  LoadedModel loaded = load_language_model(folder);
  const MultipleChoiceItem item{.context = "abc", .choices = {"de", "fgh"}, .answer = 0};
  const ScoredItem scored = score_choices(*loaded.model, context, *loaded.tokenizer, item);
  // By hand: log p of " de" after "abc" from the logits of the whole row.
  const auto ids = loaded.tokenizer->encode("abc de");
  const auto logits =
      loaded.model->forward(context, Tensor::from(ids, {1, std::ssize(ids)})).tensor().to_vector<float>();
  double expected = 0;
  for (std::size_t place = 2; place + 1 < ids.size(); ++place) {
    double total = 0;
    for (std::size_t k = 0; k < 53; ++k) total += std::exp(static_cast<double>(logits[place * 53 + k]));
    expected += static_cast<double>(logits[place * 53 + static_cast<std::size_t>(ids[place + 1])]) - std::log(total);
  }
  EXPECT_NEAR(scored.log_probabilities[0], expected, 1e-4);
  EXPECT_EQ(scored.bytes, (std::vector<std::int64_t>{2, 3}));

  std::vector<MultipleChoiceItem> items(4, item);
  const std::int64_t better = scored.log_probabilities[0] > scored.log_probabilities[1] ? 0 : 1;
  for (MultipleChoiceItem& one : items) one.answer = better;
  items[3].answer = 1 - better;
  items[3].context = std::string(40, 'q');
  SelfCommunicator alone;
  const ChoiceScores all = score_all(*loaded.model, context, *loaded.tokenizer, {&alone, &items});
  EXPECT_EQ(all.items, 4);
  EXPECT_GE(all.right, 3);
  EXPECT_EQ(all.shortened, 1);
  items[0].choices[1] = std::string(30, 'a');
  EXPECT_THROW(score_all(*loaded.model, context, *loaded.tokenizer, {&alone, &items}), Error);
}

TEST(ModelChoice, NumbersReplaceThoseOfTheChosenModel) {
  ModelOptions options{.model = "gpt2", .layers = 3};
  const auto gpt = std::get<Gpt2Config>(options.config_for({50257, 256}).model);
  EXPECT_EQ(gpt.layers, 3);
  EXPECT_EQ(gpt.width, 768);
  EXPECT_EQ(gpt.context, 1024);
  options = {.model = "llama", .heads = 8, .kv_heads = 2, .vocabulary = 1000};
  const auto llama = std::get<LlamaConfig>(options.config_for({999, 256}).model);
  EXPECT_EQ(llama.vocabulary, 1000);
  EXPECT_EQ(llama.kv_heads, 2);
  EXPECT_EQ(llama.context, 256);
  options.vocabulary = 998;
  EXPECT_THROW(options.config_for({999, 256}), Error) << "ids beyond the table would be read";
  options = {.positions = 64};
  EXPECT_THROW(options.config_for({999, 65}), Error) << "a context longer than the model's";
}

TEST(ModelChoice, WhatTheModelHasNotIsRefused) {
  EXPECT_THROW((ModelOptions{.model = "gpt2", .window = 256}.config_for({50257, 64})), Error);
  EXPECT_THROW((ModelOptions{.model = "gpt", .kv_heads = 2}.config_for({50257, 64})), Error);
  EXPECT_THROW((ModelOptions{.model = "gpt", .tied = false}.config_for({50257, 64})), Error);
  EXPECT_THROW((ModelOptions{.config = "nowhere/config.json"}.config_for({50257, 64})), Error);
}

TEST_F(LanguageUse, SizesComeFromTheModelThatWeightsAreTakenFrom) {
  const ModelOptions plain;
  const auto found = plain.config_for({.tokens_known = 53, .context = 8, .weights_from = folder});
  EXPECT_EQ(std::get<Gpt2Config>(found.model).inner, 40);
  EXPECT_EQ(found.end_tokens, std::vector<std::int64_t>{0});
  const ModelOptions by_file{.config = folder + "/config.json"};
  EXPECT_EQ(std::get<Gpt2Config>(by_file.config_for({53, 8}).model).inner, 40);
  const ModelOptions both{.config = folder, .layers = 3};
  EXPECT_THROW(both.config_for({53, 8}), Error);
  EXPECT_THROW(plain.config_for({.tokens_known = 54, .context = 8, .weights_from = folder}), Error);
}

TEST_F(LanguageUse, OnlyTokensTheTokenizerKnowsAreDrawn) {
  LoadedModel loaded = load_language_model(folder);
  const GenerateOptions options{.sampling = {.temperature = 50}, .new_tokens = 18, .known_tokens = 7};
  for (const auto& row : generate(*loaded.model, context, std::vector<std::vector<std::int32_t>>(20, {1}), options))
    for (const std::int32_t token : row) EXPECT_LT(token, 7);
}

}  // namespace
}  // namespace trireme
