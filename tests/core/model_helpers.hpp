// Small language models as Hugging Face stores them, with random weights.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/models/hugging_face.hpp"
#include "core/models/hugging_face_tensors.hpp"
#include "tests/core/safetensors_helpers.hpp"

namespace trireme {

inline Gpt2Config tiny_gpt2() {
  return {
      .vocabulary = 11, .context = 6, .width = 8, .layers = 2, .heads = 2, .inner = 12, .epsilon = 1e-5, .dropout = 0};
}

inline LlamaConfig tiny_llama() {
  return {.vocabulary = 11,
          .context = 6,
          .width = 8,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .head_size = 6,
          .inner = 10,
          .epsilon = 1e-5,
          .rope_base = 10000.0,
          .window = 0,
          .head = LlamaConfig::Head::own};
}

/// Their tensors of a model.
inline std::vector<SafeTensorSpec> foreign_specs(const ModelConfig& config, DType dtype = DType::f32) {
  std::vector<SafeTensorSpec> out;
  for (const TensorMapping& mapping : tensor_mappings(config)) {
    for (const NamedShape& part : mapping.parts) out.push_back({part.name, dtype, part.shape});
  }
  return out;
}

/// Numbers between 1 and 2, or between -2 and -1, in the type's own bits: finite whatever is converted into what.
inline std::string random_weights(const std::vector<SafeTensorSpec>& specs, std::uint32_t seed) {
  std::string out;
  for (const SafeTensorSpec& spec : specs) {
    std::string bytes = random_bytes(to_size(spec.bytes()), seed + static_cast<std::uint32_t>(out.size()));
    const std::size_t width = size_of(spec.dtype);
    for (std::size_t i = 0; i < bytes.size(); i += width) {
      char* const element = bytes.data() + i;
      const char sign = static_cast<char>(element[width - 1] & 0x80);
      if (spec.dtype == DType::f32 || spec.dtype == DType::bf16) {
        element[width - 2] = static_cast<char>(element[width - 2] | 0x80);
        element[width - 1] = static_cast<char>(sign | 0x3f);
      } else if (spec.dtype == DType::f16) {
        element[1] = static_cast<char>(sign | 0x3c | (element[1] & 3));
      }
    }
    out += bytes;
  }
  return out;
}

/// Writes model.safetensors (or shards) and config.json; the elements.
inline std::string write_model(const std::string& folder, const HuggingFaceConfig& config,
                               std::vector<SafeTensorSpec> specs, std::int64_t shard_bytes = 1 << 30) {
  std::filesystem::create_directories(folder);
  const std::string elements = random_weights(specs, 17);
  SafeTensorsFolderWriter writer(folder, std::move(specs), shard_bytes);
  write_all_of(writer, elements, 1000);
  write_text(folder + "/config.json", hugging_face_config_text(config));
  return elements;
}

}  // namespace trireme
