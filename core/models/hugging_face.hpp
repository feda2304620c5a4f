// The file config.json of a Hugging Face model, of model_type gpt2, llama or mistral, to and from the sizes of our
// models. What would change what the model computes and is not implemented here is refused by name; what changes
// nothing, or training alone, is left out and said. The names of tensors are in core/models/hugging_face_tensors.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/models/config.hpp"
#include "core/tensor/dtype.hpp"

namespace trireme {

inline constexpr const char* model_config_file = "config.json";

struct HuggingFaceConfig {
  ModelConfig model;
  DType dtype = DType::f32;  ///< Of the weights as they are stored (torch_dtype); f32, f64, bf16 or f16.
  std::optional<std::int64_t> begin_token = {};
  std::vector<std::int64_t> end_tokens = {};
  /// What the file said and is not taken over, a sentence each.
  std::vector<std::string> notes = {};
};

/// Error(corrupt_input) with `path` and the key for a text that is no such file, for sizes that contradict each other,
/// and for what this program does not compute.
HuggingFaceConfig parse_hugging_face_config(const std::string& text, const std::string& path);
/// The file, which both older and newer versions of transformers read: gpt2; llama; mistral for a Llama with a window.
std::string hugging_face_config_text(const HuggingFaceConfig& config);

}  // namespace trireme
