// `trireme checkpoint import`: a Hugging Face model becomes a checkpoint that a run can begin from, bit for bit; one
// that lacks something leaves nothing behind.
#include "comm/self_communicator.hpp"
#include "launcher/run/checkpoint_load.hpp"
#include "tests/launcher/exchange_helpers.hpp"

namespace trireme {
namespace {

constexpr int corrupt_code = static_cast<int>(ExitCode::corrupt_input), misuse_code = static_cast<int>(ExitCode::usage);

class CheckpointImport : public testing::Test {
 protected:
  Answer import() const { return checkpoint({"import", from_, "--to", to_}); }
  CheckpointReader reader() const { return CheckpointReader(to_ + "/checkpoints/step_00000000"); }
  /// Refused with these words, and with nothing made.
  void expect_refused(int code, const std::vector<std::string>& words) const {
    const Answer answer = import();
    EXPECT_EQ(answer.code, code) << answer;
    for (const auto& word : words) EXPECT_TRUE(answer.complains(word)) << word << " in: " << answer;
    expect_only(dir_.path().string(), {"model"});
  }

  const TempDir dir_;
  const std::string from_ = dir_ / "model", to_ = dir_ / "imported";
};

TEST_F(CheckpointImport, TakesEveryWeightBitForBit) {
  const auto specs = foreign_specs(tiny_gpt2());
  const std::string elements = write_model(from_, {.model = tiny_gpt2(), .end_tokens = {10}}, specs);
  write_text(from_ + "/tokenizer.json", "any bytes \xff");
  write_text(from_ + "/README.md", "not taken over");
  const Answer answer = import();
  ASSERT_EQ(answer.code, 0) << answer;
  EXPECT_TRUE(answer.says("28 tensors from 1 file, ")) << answer;
  EXPECT_TRUE(answer.says("step_00000000, config.json, tokenizer.json\n")) << answer;
  expect_only(to_, {"checkpoints", "config.json", "tokenizer.json"});
  EXPECT_EQ(read_text(to_ + "/tokenizer.json"), "any bytes \xff");
  EXPECT_EQ(read_text(to_ + "/config.json"), read_text(from_ + "/config.json"));
  EXPECT_TRUE(verify_checkpoint(to_ + "/checkpoints/step_00000000").empty());
  const TensorValues values = expected_values(specs, elements);
  const CheckpointReader saved = reader();
  EXPECT_EQ(saved.manifest().tensors.size(), specs.size());
  for (const auto& spec : specs) {
    EXPECT_EQ(saved.find("param", spec.name)->shape, spec.shape);
    EXPECT_EQ(weights_in(saved, spec.name), elements_of(values, spec.name)) << spec.name;
  }
}

TEST_F(CheckpointImport, JoinsTheRowsOfProductsThatShareAnInput) {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f32}) {
    const auto specs = foreign_specs(tiny_llama(), dtype);
    const TensorValues values =
        expected_values(specs, write_model(from_, {.model = tiny_llama(), .dtype = dtype}, specs, 300));
    ASSERT_EQ(import().code, 0);
    const auto part = [&](const std::string& name) {
      return converted(elements_of(values, "model.layers.1." + name), dtype, DType::f32);
    };
    const CheckpointReader saved = reader();
    EXPECT_EQ(weights_in(saved, "model.layers.1.self_attn.qkv_proj.weight"),
              part("self_attn.q_proj.weight") + part("self_attn.k_proj.weight") + part("self_attn.v_proj.weight"));
    EXPECT_EQ(weights_in(saved, "model.layers.1.mlp.gate_up_proj.weight"),
              part("mlp.gate_proj.weight") + part("mlp.up_proj.weight"));
    EXPECT_EQ(weights_in(saved, "model.layers.1.mlp.down_proj.weight"), part("mlp.down_proj.weight"));
    std::filesystem::remove_all(from_);
    std::filesystem::remove_all(to_);
  }
}

TEST_F(CheckpointImport, ARunBeginsFromIt) {
  write_model(from_, {.model = tiny_llama()}, foreign_specs(tiny_llama()));
  ASSERT_EQ(import().code, 0);
  std::vector<NamedTensor> into;
  for (const TensorMapping& mapping : tensor_mappings(tiny_llama())) {
    into.push_back({"param", mapping.name, mapping.shape, Tensor::zeros({mapping.shape.elements()}, DType::f32)});
    into.push_back({"moment1", mapping.name, mapping.shape, Tensor::zeros({mapping.shape.elements()}, DType::f32)});
  }
  SelfCommunicator self;
  EXPECT_EQ(load_weights(self, {.candidates = checkpoints_at(to_)}, into).differences, std::vector<std::string>{});
  const CheckpointReader saved = reader();
  for (const NamedTensor& one : into) {
    const auto values = one.tensor.span<float>();
    const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    const std::string zeros(bytes.size(), '\0');
    EXPECT_EQ(bytes, one.plane == "param" ? weights_in(saved, one.name) : zeros) << one.name;
  }
}

TEST_F(CheckpointImport, ATensorOfSeveralBlocks) {
  Gpt2Config config = tiny_gpt2();
  config.vocabulary = 70'001;  // more than two blocks of f32
  const auto specs = foreign_specs(config, DType::bf16);
  const TensorValues values = expected_values(specs, write_model(from_, {.model = config}, specs));
  ASSERT_EQ(import().code, 0);
  EXPECT_EQ(weights_in(reader(), "transformer.wte.weight"),
            converted(elements_of(values, "transformer.wte.weight"), DType::bf16, DType::f32));
}

TEST_F(CheckpointImport, LeavesOutMasksAndAnEqualHead) {
  auto specs = foreign_specs(tiny_gpt2());
  for (auto& spec : specs) spec.name.erase(0, std::string("transformer.").size());
  std::rotate(specs.begin(), specs.begin() + 1, specs.end());  // wte last, so that its copy can stand behind it
  specs.push_back({"lm_head.weight", DType::f32, {11, 8}});
  specs.push_back({"h.0.attn.bias", DType::u8, {1, 1, 6, 6}});
  std::string elements = random_weights(specs, 3);
  const std::size_t table = 11 * 8 * 4, wte = total_bytes(specs) - 36 - 2 * table;
  elements.replace(wte + table, table, elements.substr(wte, table));
  const auto write = [&] {
    write_model(from_, {.model = tiny_gpt2()}, specs);
    SafeTensorsWriter writer(from_ + "/model.safetensors", specs);
    write_all_of(writer, elements, 4096);
  };
  write();
  const Answer answer = import();
  ASSERT_EQ(answer.code, 0) << answer;
  EXPECT_TRUE(answer.says("left out: h.0.attn.bias\n")) << answer;
  EXPECT_TRUE(answer.says("left out: lm_head.weight, which is equal")) << answer;
  EXPECT_EQ(reader().manifest().tensors.size(), 28U);
  std::filesystem::remove_all(to_);
  elements[wte + 2 * table - 1] ^= 1;
  write();
  expect_refused(corrupt_code, {"lm_head.weight", "differs from", "wte.weight", "must be equal"});
}

TEST_F(CheckpointImport, WhatDoesNotFitIsNamedAndNothingIsMade) {
  auto specs = foreign_specs(tiny_gpt2());
  specs[3].name = "transformer.h.0.ln_0.bias";
  specs[1].shape = {8, 6};
  write_model(from_, {.model = tiny_gpt2()}, specs);
  expect_refused(corrupt_code, {"\"transformer.h.0.ln_1.bias\" is missing, wanted with (8)", "h.0.ln_0.bias\" with (8)",
                                "\"transformer.wpe.weight\" is (8, 6), wanted (6, 8)", "model.safetensors"});
  std::filesystem::resize_file(from_ + "/model.safetensors", 4000);
  expect_refused(corrupt_code, {"model.safetensors", "cut off"});
  std::filesystem::remove(from_ + "/model.safetensors");
  expect_refused(corrupt_code, {"neither model.safetensors nor"});
  write_text(from_ + "/config.json", R"({"model_type":"bert"})");
  expect_refused(corrupt_code, {"config.json", "model_type is \"bert\""});
  std::filesystem::remove(from_ + "/config.json");
  expect_refused(misuse_code, {"there is no config.json"});
}

TEST_F(CheckpointImport, ATargetThatIsInUseIsLeftAlone) {
  write_model(from_, {.model = tiny_gpt2()}, foreign_specs(tiny_gpt2()));
  EXPECT_EQ(checkpoint({"import", from_}).code, misuse_code);
  std::filesystem::create_directory(to_);
  write_text(to_ + "/mine", "x");
  const Answer answer = import();
  EXPECT_EQ(answer.code, misuse_code) << answer;
  EXPECT_TRUE(answer.complains("not a new or empty folder: choose another --to")) << answer;
  expect_only(to_, {"mine"});
  std::filesystem::remove(to_ + "/mine");
  EXPECT_EQ(import().code, 0);
}

}  // namespace
}  // namespace trireme
