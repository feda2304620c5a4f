// config.json of Hugging Face's models, and files of multiple-choice questions. The input is a byte that says which,
// and the text. A config that was taken has sizes that fit together, and reads back as it was written; a question that
// was taken has an answer among its choices.
#include "core/models/hugging_face.hpp"
#include "core/models/hugging_face_tensors.hpp"
#include "datasets/multiple_choice.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

constexpr char config = 0, questions = 1;

void check_sizes(const Gpt2Config& model) {
  fuzz::demand(model.heads > 0 && model.width % model.heads == 0, "heads divide the width");
  if (model.layers <= 100 && model.width < 100000 && model.inner < 100000) tensor_mappings(model);
}

void check_sizes(const LlamaConfig& model) {
  fuzz::demand(model.kv_heads > 0 && model.heads % model.kv_heads == 0, "heads are shared evenly");
  fuzz::demand(model.head_size > 0 && model.head_size % 2 == 0, "heads are made of pairs");
  if (model.layers <= 100 && model.heads < 1000 && model.head_size < 1000) tensor_mappings(model);
}

void try_config(const std::string& text) {
  HuggingFaceConfig taken;
  if (!fuzz::takes([&] { taken = parse_hugging_face_config(text, "config.json"); })) return;
  std::visit([](const auto& model) { check_sizes(model); }, taken.model);
  const std::string written = hugging_face_config_text(taken);
  const HuggingFaceConfig back = parse_hugging_face_config(written, "config.json");
  fuzz::demand(back.notes.empty(), "nothing is left out of what is written here");
  fuzz::demand(hugging_face_config_text(back) == written, "what is written reads back as the same");
}

void try_questions(std::string_view text) {
  const auto path = fuzz::work_folder() / "questions.jsonl";
  fuzz::write_file(path, text);
  fuzz::takes([&] {
    for (const MultipleChoiceItem& item : read_multiple_choice(path)) {
      fuzz::demand(item.answer >= 0 && item.answer < static_cast<std::int64_t>(item.choices.size()),
                   "the answer is one of the choices");
    }
  });
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  const std::string llama =
      R"({"model_type":"mistral","vocab_size":97,"hidden_size":24,"intermediate_size":40,"num_hidden_layers":2,)"
      R"("num_attention_heads":4,"num_key_value_heads":2,"head_dim":6,"max_position_embeddings":32,"rms_norm_eps":1e-6,)"
      R"("rope_parameters":{"rope_type":"default","rope_theta":5e5},"rope_scaling":null,"sliding_window":8,)"
      R"("tie_word_embeddings":true,"hidden_act":"silu","dtype":"bfloat16","eos_token_id":[1,2],"bos_token_id":0})";
  return {config + hugging_face_config_text({.model = Gpt2Config{}}),
          config + hugging_face_config_text({.model = LlamaConfig{}, .end_tokens = {1, 2}}), config + llama,
          questions + std::string(R"({"context":"It is","choices":[" day."," night."],"answer":1})"
                                  "\n"
                                  R"({"ctx":"He","endings":["is.","sits."],"label":"0"})"
                                  "\n")};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const auto kind = input.number(1) % 2;
  const std::string text(input.rest());
  if (kind == config) {
    try_config(text);
  } else {
    try_questions(text);
  }
  return 0;
}
