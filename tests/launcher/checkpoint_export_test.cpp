// `trireme checkpoint export`: what ranks have saved becomes a folder of Hugging Face's, bit for bit; what was exported
// imports as the same; a damaged checkpoint leaves nothing behind.
#include "tests/launcher/exchange_helpers.hpp"

namespace trireme {
namespace {

constexpr int damaged_code = static_cast<int>(ExitCode::corrupt_input), usage_code = static_cast<int>(ExitCode::usage);

class CheckpointExport : public testing::Test {
 protected:
  Answer exported(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"export", run_, "--to", to_});
    return checkpoint(more);
  }
  /// The tensors in the folder that was made.
  TensorValues found() const { return values_of(SafeTensors(to_)); }
  std::string random_elements(const ModelConfig& config) const { return random_weights(foreign_specs(config), 23); }
  void expect_refused(const Answer& answer, int code, const std::vector<std::string>& words) const {
    EXPECT_EQ(answer.code, code) << answer;
    for (const auto& word : words) EXPECT_TRUE(answer.complains(word)) << word << " in: " << answer;
    expect_only(dir_.path().string(), {"run"});
  }

  const TempDir dir_;
  const std::string run_ = dir_ / "run", to_ = dir_ / "exported";
};

TEST_F(CheckpointExport, CutsTheRowsOfJoinedProducts) {
  for (const ModelConfig& config : {ModelConfig(tiny_gpt2()), ModelConfig(tiny_llama())}) {
    const std::string elements = random_elements(config);
    save_run(run_, config, elements);
    const Answer answer = exported();
    ASSERT_EQ(answer.code, 0) << answer;
    EXPECT_TRUE(answer.says("model.safetensors, config.json, tokenizer.json\n")) << answer;
    expect_only(to_, {"model.safetensors", "config.json", "tokenizer.json"});
    EXPECT_EQ(found(), expected_values(foreign_specs(config), elements));
    EXPECT_EQ(read_text(to_ + "/config.json"), read_text(run_ + "/config.json"));
    EXPECT_EQ(read_text(to_ + "/tokenizer.json"), read_text(run_ + "/tokenizer.json"));
    EXPECT_EQ(SafeTensors(to_).files()[0].metadata, pytorch_metadata) << "without it PyTorch's loaders refuse the file";
    std::filesystem::remove_all(run_);
    std::filesystem::remove_all(to_);
  }
}

TEST_F(CheckpointExport, ImportsAsTheSame) {
  const ModelConfig config = tiny_llama();
  const std::string saved = save_run(run_, config, random_elements(config));
  ASSERT_EQ(exported({"--shard-size", "1KB"}).code, 0);
  EXPECT_GT(SafeTensors(to_).files().size(), 5U);
  const std::string back = dir_ / "back";
  ASSERT_EQ(checkpoint({"import", to_, "--to", back}).code, 0);
  const CheckpointReader before(saved), after(back + "/checkpoints/step_00000000");
  for (const TensorMapping& mapping : tensor_mappings(config)) {
    EXPECT_EQ(weights_in(before, mapping.name), weights_in(after, mapping.name)) << mapping.name;
  }
  EXPECT_EQ(read_text(back + "/config.json"), read_text(run_ + "/config.json"));
}

TEST_F(CheckpointExport, AnImportedModelComesOutAsItWas) {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f32}) {
    const auto specs = foreign_specs(tiny_llama(), dtype);
    const std::string elements = write_model(dir_ / "model", {.model = tiny_llama(), .dtype = dtype}, specs);
    ASSERT_EQ(checkpoint({"import", dir_ / "model", "--to", run_}).code, 0);
    ASSERT_EQ(exported({"--dtype", std::string(name_of(dtype))}).code, 0);
    EXPECT_EQ(found(), expected_values(specs, elements)) << name_of(dtype);
    EXPECT_EQ(read_text(to_ + "/config.json"), read_text(dir_ / "model/config.json"));
    for (const char* folder : {"model", "run", "exported"}) std::filesystem::remove_all(dir_ / folder);
  }
}

TEST_F(CheckpointExport, ShardsHoldNoMoreThanAsked) {
  save_run(run_, tiny_gpt2(), random_elements(tiny_gpt2()));
  const Answer answer = exported({"--shard-size", "1KiB", "--dtype", "bf16"});
  ASSERT_EQ(answer.code, 0) << answer;
  EXPECT_TRUE(answer.says("model-00001-of-0000") && answer.says("model.safetensors.index.json, config.json")) << answer;
  std::map<std::size_t, std::int64_t> bytes;
  const SafeTensors model(to_);
  for (const SafeTensor& tensor : model.tensors()) bytes[tensor.file] += tensor.size();
  EXPECT_GT(bytes.size(), 2U);
  for (const auto& [file, size] : bytes) EXPECT_LE(size, 1024);
  EXPECT_NE(read_text(to_ + "/config.json").find("\"bfloat16\""), std::string::npos);
}

TEST_F(CheckpointExport, OneCheckpointFindsItsRun) {
  const std::string one = save_run(run_, tiny_gpt2(), random_elements(tiny_gpt2()));
  for (const std::string& path : {one, run_ + "/checkpoints", run_ + "/checkpoints/"}) {
    ASSERT_EQ(checkpoint({"export", path, "--to", to_}).code, 0);
    expect_only(to_, {"model.safetensors", "config.json", "tokenizer.json"});
    std::filesystem::remove_all(to_);
  }
}

TEST_F(CheckpointExport, OtherNetworksKeepTheirNames) {
  save(run_ + "/checkpoints", 100);
  const Answer answer = exported({"--dtype", "f16"});
  ASSERT_EQ(answer.code, 0) << answer;
  EXPECT_TRUE(answer.says("no config.json in " + run_)) << answer;
  expect_only(to_, {"model.safetensors"});
  const SafeTensors model(to_);
  EXPECT_EQ(model.tensors().size(), 3U);
  EXPECT_EQ(model.find("0.weight")->dtype, "F16");
  EXPECT_EQ(model.find("0.weight")->shape, Shape({12, 5}));
  EXPECT_EQ(model.find("1.mean")->dtype, "F64") << "what is saved but not trained keeps its type";
  std::vector<float> biases(5);
  std::string bytes(10, '\0');
  model.read(*model.find("0.bias"), 0, std::as_writable_bytes(std::span(bytes)));
  const std::string wide = converted(bytes, DType::f16, DType::f32);
  std::memcpy(biases.data(), wide.data(), wide.size());
  EXPECT_EQ(biases, (std::vector<float>{1, 2, 3, 4, 5}));
}

TEST_F(CheckpointExport, TooLargeForTheTypeIsSaid) {
  save(run_ + "/checkpoints",
       {.step = 1, .ranks = 1, .tensors = {test_tensor<float>("param", "w", {4}, {65504, 65520, -1e30F, INFINITY})}});
  const Answer answer = exported({"--dtype", "f16"});
  EXPECT_EQ(answer.code, 0) << answer;
  EXPECT_TRUE(answer.complains("param/w: 2 values are too large for f16 and became infinite")) << answer;
}

TEST_F(CheckpointExport, ADamagedPieceLeavesNothing) {
  const std::string one = save_run(run_, tiny_gpt2(), random_elements(tiny_gpt2()));
  const CheckpointReader reader(one);
  const SavedPiece piece = reader.find("param", "transformer.h.1.mlp.c_fc.weight")->pieces.at(1);
  flip_byte(one + "/" + piece.file, piece.offset + 2);
  expect_refused(exported(), damaged_code, {"h.1.mlp.c_fc.weight", piece.file, "checksum differs"});
}

TEST_F(CheckpointExport, WhatDoesNotFitTheConfigIsNamed) {
  save_run(run_, tiny_gpt2(), random_elements(tiny_gpt2()));
  Gpt2Config other = tiny_gpt2();
  other.context = 7;
  other.layers = 3;
  write_text(run_ + "/config.json", hugging_face_config_text({.model = other}));
  expect_refused(exported(), damaged_code,
                 {"\"transformer.wpe.weight\" is (6, 8), wanted (7, 8)", "\"transformer.h.2.ln_1.weight\" is missing"});
  write_text(run_ + "/config.json", "{");
  expect_refused(exported(), damaged_code, {"config.json"});
}

TEST_F(CheckpointExport, MistakesOnTheCommandLine) {
  save(run_ + "/checkpoints", 100);
  for (const char* size : {"", "5", "0GB", "-1GB", "5PB", "GB", "5 GB", "1e9"}) {
    const bool fine = std::string(size) == "5";
    const Answer answer = exported({"--shard-size", size});
    EXPECT_EQ(answer.code, fine ? 0 : usage_code) << size << answer;
    if (fine) std::filesystem::remove_all(to_);
  }
  expect_refused(checkpoint({"export", run_}), usage_code, {"--to DIR"});
  expect_refused(exported({"--dtype", "f64"}), usage_code, {"dtype", "bf16"});
  EXPECT_EQ(checkpoint({"export", dir_ / "none", "--to", to_}).code, usage_code);
  std::filesystem::create_directory(to_);
  write_text(to_ + "/mine", "x");
  EXPECT_EQ(exported().code, usage_code);
  expect_only(to_, {"mine"});
}

}  // namespace
}  // namespace trireme
