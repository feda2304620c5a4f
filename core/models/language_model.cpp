#include "core/models/language_model.hpp"

#include <algorithm>

#include "core/models/gpt2.hpp"
#include "core/models/llama.hpp"
#include "core/ops/linear_cross_entropy.hpp"

namespace trireme {

Value LanguageModel::hidden(Context& context, const TokenInput& input) {
  const std::int64_t tokens = input.ids.shape()[1];
  if (tokens > context_length())
    fail(ExitCode::usage,
         "sequences of {} tokens are longer than the model's context of {}: use shorter ones (--context)", tokens,
         context_length());
  return states(context, {.input = input});
}

Value LanguageModel::forward(Context& context, const Value& ids) {
  return ops::matmul(context, hidden(context, {.ids = ids.tensor()}), head(context),
                     {.transpose_b = ops::Transpose::yes});
}

std::int64_t LanguageModel::cache_bytes_per_token() const {
  const AttentionSize size = attention_size();
  return 2 * size.layers * size.kv_heads * size.head_size * static_cast<std::int64_t>(sizeof(float));
}

DecodingState LanguageModel::begin_decoding(Context& context, std::int64_t rows, std::int64_t capacity) {
  if (capacity > context_length())
    fail(ExitCode::usage,
         "{} tokens (prompt and new ones) are more than the model's context of {}: shorten the prompt or ask for fewer "
         "new tokens",
         capacity, context_length());
  const AttentionSize size = attention_size();
  const DType dtype = head(context).dtype();
  DecodingState state{{}, std::vector<std::int32_t>(static_cast<std::size_t>(rows), 0), capacity};
  for (std::int64_t k = 0; k < size.layers; ++k) {
    const Shape shape{rows, capacity, size.kv_heads * size.head_size};
    state.layers.push_back(
        {Tensor::zeros(shape, dtype, context.device()), Tensor::zeros(shape, dtype, context.device()), {}});
  }
  return state;
}

Tensor LanguageModel::decode(Context& context, const Tensor& ids, std::span<const std::int32_t> counts,
                             DecodingState& state) {
  const std::int64_t rows = ids.shape()[0], tokens = ids.shape()[1];
  std::vector<std::int32_t>& lengths = state.lengths;
  std::vector<std::int32_t> positions;
  require(std::ssize(counts) == rows && std::ssize(lengths) == rows, "decode: {} rows of ids, {} counts, {} rows begun",
          rows, counts.size(), lengths.size());
  for (const std::int32_t length : lengths) {
    require(length + tokens <= state.capacity, "decode: {} tokens behind {} do not fit into a cache of {}", tokens,
            length, state.capacity);
    for (std::int32_t t = 0; t < tokens; ++t) positions.push_back(length + t);
  }
  const Tensor before = Tensor::from(lengths, {rows}, context.device());
  for (ops::KeyValueCache& layer : state.layers) layer.lengths = before;
  const TokenInput input{.ids = ids};
  const Value all = states(
      context,
      {.input = input, .decoding = &state, .positions = Tensor::from(positions, {rows, tokens}, context.device())});
  const std::int64_t width = all.shape()[2];
  const Tensor flat = all.tensor().reshape({rows * tokens, width});
  const Tensor last = context.empty({rows, width}, all.dtype());
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int32_t count = counts[static_cast<std::size_t>(row)];
    require(count >= 1 && count <= tokens, "decode: row {} counts {} of {} tokens", row, count, tokens);
    last.slice(row, 1).copy_from(flat.slice(row * tokens + count - 1, 1), context.stream());
    lengths[static_cast<std::size_t>(row)] += count;
  }
  return ops::matmul(context, last, head(context), {.transpose_b = ops::Transpose::yes}).tensor();
}

double LanguageModel::training_flops_per_token(std::int64_t tokens) const {
  const AttentionSize size = attention_size();
  return 6 * static_cast<double>(multiplied_weights()) +
         12 * static_cast<double>(size.layers * size.heads * size.head_size) * static_cast<double>(tokens);
}

namespace {

struct Number {
  const char* name;
  std::int64_t value;
};

void positive(std::initializer_list<Number> numbers) {
  for (const Number& number : numbers)
    if (number.value < 1)
      fail(ExitCode::usage, "a language model with {} {}: it must be at least 1", number.name, number.value);
}

std::unique_ptr<LanguageModel> make(const Gpt2Config& config, const LanguageModelOptions& options) {
  positive({{"vocabulary", config.vocabulary},
            {"context", config.context},
            {"width", config.width},
            {"layers", config.layers},
            {"heads", config.heads},
            {"inner", config.inner}});
  if (config.width % config.heads != 0)
    fail(ExitCode::usage, "a GPT-2 of width {} with {} heads: the heads must divide the width", config.width,
         config.heads);
  Gpt2Config with = config;
  with.dropout = options.dropout;
  return std::make_unique<Gpt2>(with, options.recompute);
}

std::unique_ptr<LanguageModel> make(const LlamaConfig& config, const LanguageModelOptions& options) {
  positive({{"vocabulary", config.vocabulary},
            {"context", config.context},
            {"width", config.width},
            {"layers", config.layers},
            {"heads", config.heads},
            {"kv_heads", config.kv_heads},
            {"head_size", config.head_size},
            {"inner", config.inner}});
  if (config.heads % config.kv_heads != 0)
    fail(ExitCode::usage, "a Llama of {} heads with {} heads of keys and values: the latter must divide the former",
         config.heads, config.kv_heads);
  if (config.head_size % 2 != 0)
    fail(ExitCode::usage, "a Llama with heads of size {}: rotary positions turn pairs, so it must be even",
         config.head_size);
  return std::make_unique<Llama>(config, options);
}

}  // namespace

std::unique_ptr<LanguageModel> make_language_model(const ModelConfig& config, const LanguageModelOptions& options) {
  return std::visit([&](const auto& one) { return make(one, options); }, config);
}

}  // namespace trireme
