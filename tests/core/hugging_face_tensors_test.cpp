// Which tensors of a Hugging Face model are which of ours: all are found under either naming, and everything that does
// not fit is listed at once.
#include "core/models/hugging_face_tensors.hpp"

#include <cstring>

#include "tests/core/model_helpers.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

class HuggingFaceTensors : public testing::Test {
 protected:
  /// Opens a file of these tensors with elements that do not matter.
  SafeTensors model_of(const std::vector<SafeTensorSpec>& specs) {
    SafeTensorsWriter writer(path_, specs);
    write_all_of(writer, random_weights(specs, 5), 1 << 20);
    return SafeTensors(path_);
  }
  void expect_problems(const ModelConfig& config, const std::vector<SafeTensorSpec>& specs,
                       std::vector<std::string> words) {
    words.push_back(path_);
    const SafeTensors files = model_of(specs);
    expect_error(ExitCode::corrupt_input, words, [&] { find_model(config, files); });
  }
  static SafeTensorSpec& spec_of(std::vector<SafeTensorSpec>& specs, const std::string& name) {
    return *std::ranges::find(specs, name, &SafeTensorSpec::name);
  }

  const TempDir dir_;
  const std::string path_ = dir_ / "model.safetensors";
};

const TensorMapping& mapping_of(const std::vector<TensorMapping>& mappings, const std::string& name) {
  const auto at = std::ranges::find(mappings, name, &TensorMapping::name);
  if (at == mappings.end()) throw std::runtime_error("no tensor " + name);
  return *at;
}

TEST_F(HuggingFaceTensors, ShapesOfGpt2) {
  const auto mappings = tensor_mappings(Gpt2Config{});
  EXPECT_EQ(mappings.size(), 148U);
  std::int64_t elements = 0;
  for (const auto& mapping : mappings) elements += mapping.shape.elements();
  EXPECT_EQ(elements, 124'439'808) << "the published number of parameters";
  EXPECT_EQ(mapping_of(mappings, "transformer.h.11.attn.c_attn.weight").shape, Shape({768, 2304}));
  EXPECT_EQ(mapping_of(mappings, "transformer.h.0.mlp.c_proj.weight").shape, Shape({3072, 768}));
  EXPECT_EQ(mapping_of(mappings, "transformer.wpe.weight").shape, Shape({1024, 768}));
}

TEST_F(HuggingFaceTensors, ShapesOfLlama) {
  LlamaConfig config = tiny_llama();
  const auto mappings = tensor_mappings(config);
  const TensorMapping& qkv = mapping_of(mappings, "model.layers.1.self_attn.qkv_proj.weight");
  EXPECT_EQ(qkv.shape, Shape({(4 + 2 * 2) * 6, 8}));
  ASSERT_EQ(qkv.parts.size(), 3U);
  EXPECT_EQ(qkv.parts[0].name, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(qkv.parts[0].shape, Shape({24, 8}));
  EXPECT_EQ(qkv.parts[2].name, "model.layers.1.self_attn.v_proj.weight");
  EXPECT_EQ(qkv.parts[2].shape, Shape({12, 8}));
  const TensorMapping& gate_up = mapping_of(mappings, "model.layers.0.mlp.gate_up_proj.weight");
  EXPECT_EQ(gate_up.shape, Shape({20, 8}));
  EXPECT_EQ(gate_up.parts.at(0).name, "model.layers.0.mlp.gate_proj.weight");
  EXPECT_EQ(mapping_of(mappings, "model.layers.0.self_attn.o_proj.weight").shape, Shape({8, 24}));
  EXPECT_EQ(mapping_of(mappings, "lm_head.weight").shape, Shape({11, 8}));
  const std::size_t own = mappings.size();
  config.head = LlamaConfig::Head::tied;
  EXPECT_EQ(tensor_mappings(config).size(), own - 1);
}

TEST_F(HuggingFaceTensors, PartsAreTheRowsOfTheWhole) {
  for (const ModelConfig& config : {ModelConfig(tiny_gpt2()), ModelConfig(tiny_llama())}) {
    for (const TensorMapping& mapping : tensor_mappings(config)) {
      std::int64_t elements = 0;
      for (const NamedShape& part : mapping.parts) {
        elements += part.shape.elements();
        EXPECT_TRUE(part.shape.dims() == 1 || part.shape[1] == mapping.shape[1]) << part.name;
      }
      EXPECT_EQ(elements, mapping.shape.elements()) << mapping.name;
    }
  }
}

TEST_F(HuggingFaceTensors, AreFoundWithPrefixAndWithout) {
  for (const ModelConfig& config : {ModelConfig(tiny_gpt2()), ModelConfig(tiny_llama())}) {
    auto specs = foreign_specs(config, DType::bf16);
    for (const char* prefix : {"", "transformer.", "model."}) {
      for (SafeTensorSpec& spec : specs) {
        if (spec.name.starts_with(prefix)) spec.name.erase(0, std::strlen(prefix));
      }
      const SafeTensors files = model_of(specs);
      const FoundModel model = find_model(config, files);
      std::size_t parts = 0;
      for (const auto& entry : model.entries) {
        for (std::size_t i = 0; i < entry.parts.size(); ++i, ++parts) {
          EXPECT_TRUE(entry.mapping.parts[i].name.ends_with(entry.parts[i]->name));
          EXPECT_EQ(entry.mapping.parts[i].shape, entry.parts[i]->shape);
        }
      }
      EXPECT_EQ(parts, specs.size());
      EXPECT_EQ(model.head, nullptr);
    }
  }
}

TEST_F(HuggingFaceTensors, BuffersAndATiedHeadAreKnown) {
  auto specs = foreign_specs(tiny_gpt2());
  specs.push_back({"transformer.h.0.attn.bias", DType::u8, {1, 1, 6, 6}});
  specs.push_back({"h.1.attn.masked_bias", DType::f32, {}});
  specs.push_back({"lm_head.weight", DType::f32, {11, 8}});
  const SafeTensors files = model_of(specs);
  const FoundModel model = find_model(tiny_gpt2(), files);
  EXPECT_EQ(model.left_out.size(), 2U);
  ASSERT_NE(model.head, nullptr);
  EXPECT_EQ(model.head->name, "lm_head.weight");
  EXPECT_EQ(model.embedding->name, "transformer.wte.weight");
  LlamaConfig tied = tiny_llama();
  tied.head = LlamaConfig::Head::tied;
  specs = foreign_specs(tiny_llama());
  specs.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::f32, {3}});
  const SafeTensors others = model_of(specs);
  EXPECT_EQ(find_model(tied, others).head->name, "lm_head.weight");
  EXPECT_EQ(find_model(tiny_llama(), others).head, nullptr) << "a head of its own is one of the entries";
}

TEST_F(HuggingFaceTensors, AllThatDoesNotFitIsListedAtOnce) {
  auto specs = foreign_specs(tiny_gpt2());
  spec_of(specs, "transformer.wpe.weight").shape = {7, 8};
  spec_of(specs, "transformer.h.0.ln_1.bias").dtype = DType::i32;
  spec_of(specs, "transformer.h.1.ln_2.weight").name = "transformer.h.1.ln_3.weight";
  specs.push_back({"transformer.h.2.attn.bias", DType::f32, {4}});
  specs.push_back({"wte.weight", DType::f32, {11, 8}});
  specs.push_back({"lm_head.weight", DType::f32, {12, 8}});
  expect_problems(tiny_gpt2(), specs,
                  {"\n  \"transformer.h.1.ln_2.weight\" is missing, wanted with (8)",
                   "\n  \"transformer.h.1.ln_3.weight\" with (8) is not known to this model",
                   "\n  \"transformer.wpe.weight\" is (7, 8), wanted (6, 8)",
                   "\n  \"transformer.h.0.ln_1.bias\" is of I32, wanted F32, BF16, F16 or F64",
                   "\n  \"transformer.h.2.attn.bias\" with (4) is not known",
                   "\n  \"wte.weight\" is there with and without \"transformer.\"",
                   "\n  \"lm_head.weight\" is (12, 8), wanted (11, 8)"});
}

TEST_F(HuggingFaceTensors, TheTensorsOfAnotherModelAreRefused) {
  expect_problems(tiny_llama(), foreign_specs(tiny_gpt2()), {"\"model.norm.weight\" is missing", "is not known"});
  auto tied = foreign_specs(tiny_llama());
  tied.pop_back();
  expect_problems(tiny_llama(), tied, {"\"lm_head.weight\" is missing, wanted with (11, 8)"});
}

}  // namespace
}  // namespace trireme
