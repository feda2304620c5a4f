// The sizes of the language models in this folder: what their constructors take, what a checkpoint records and what
// config.json of a Hugging Face model says (core/models/hugging_face.hpp reads and writes that form).
#pragma once

#include <cstdint>
#include <variant>

namespace trireme {

/// GPT-2 (Radford et al. 2019): learned positions, layer norm before each part, GELU (tanh form), head tied to the
/// token embedding. The defaults are the smallest published model, 124 million parameters.
struct Gpt2Config {
  std::int64_t vocabulary = 50257;
  std::int64_t context = 1024;  ///< The longest sequence: rows of the position table.
  std::int64_t width = 768;     ///< C; a multiple of heads.
  std::int64_t layers = 12;
  std::int64_t heads = 12;
  std::int64_t inner = 3072;  ///< Width of the hidden layer between the two products of a block's second part.
  double epsilon = 1e-5;      ///< Of the layer norms.
  double dropout = 0;         ///< After the embedding and after both parts of each block.
  friend bool operator==(const Gpt2Config&, const Gpt2Config&) = default;
};

/// Llama (Touvron et al. 2023, arXiv:2302.13971): RMS norm, rotary positions, SwiGLU, grouped-query attention.
struct LlamaConfig {
  std::int64_t vocabulary = 32000;
  std::int64_t context = 2048;
  std::int64_t width = 4096;
  std::int64_t layers = 32;
  std::int64_t heads = 32;
  std::int64_t kv_heads = 32;    ///< Heads of keys and values; divides heads.
  std::int64_t head_size = 128;  ///< Of queries, keys and values; heads * head_size need not be width.
  std::int64_t inner = 11008;
  double epsilon = 1e-5;       ///< Of the RMS norms.
  double rope_base = 10000.0;  ///< theta of the rotary positions (Su et al. 2021, arXiv:2104.09864).
  std::int64_t window = 0;     ///< How many tokens back attention reaches, itself included; 0: all.
  enum class Head : std::uint8_t { own, tied } head = Head::own;
  friend bool operator==(const LlamaConfig&, const LlamaConfig&) = default;
};

using ModelConfig = std::variant<Gpt2Config, LlamaConfig>;

}  // namespace trireme
