#include "core/models/hugging_face_tensors.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "core/base/error.hpp"

namespace trireme {
namespace {

constexpr const char* head_name = "lm_head.weight";

/// What the models differ in, as far as names go.
struct Naming {
  std::string prefix;  ///< Of the inner model.
  std::string layers;  ///< Of the list of blocks in it.
  std::string embedding;
  std::vector<std::string> left_out;  ///< Behind the number of a block.
  bool tied = true;
  std::int64_t blocks = 0;
};

Naming naming_of(const Gpt2Config& config) {
  return {.prefix = "transformer.",
          .layers = "h.",
          .embedding = "wte.weight",
          .left_out = {".attn.bias", ".attn.masked_bias"},
          .tied = true,
          .blocks = config.layers};
}

Naming naming_of(const LlamaConfig& config) {
  return {.prefix = "model.",
          .layers = "layers.",
          .embedding = "embed_tokens.weight",
          .left_out = {".self_attn.rotary_emb.inv_freq"},
          .tied = config.head == LlamaConfig::Head::tied,
          .blocks = config.layers};
}

/// A tensor that is the same on both sides.
TensorMapping same(const std::string& name, const Shape& shape) { return {name, shape, {{name, shape}}}; }

void add_norm(std::vector<TensorMapping>& out, const std::string& name, std::int64_t width) {
  out.push_back(same(name + ".weight", {width}));
  out.push_back(same(name + ".bias", {width}));
}

/// A product as in HF's Conv1D: rows are inputs.
void add_product(std::vector<TensorMapping>& out, const std::string& name, std::int64_t inputs, std::int64_t outputs) {
  out.push_back(same(name + ".weight", {inputs, outputs}));
  out.push_back(same(name + ".bias", {outputs}));
}

std::vector<TensorMapping> mappings(const Gpt2Config& config) {
  const std::int64_t width = config.width;
  std::vector<TensorMapping> out = {same("transformer.wte.weight", {config.vocabulary, width}),
                                    same("transformer.wpe.weight", {config.context, width})};
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string block = fmt::format("transformer.h.{}.", layer);
    add_norm(out, block + "ln_1", width);
    add_product(out, block + "attn.c_attn", width, 3 * width);
    add_product(out, block + "attn.c_proj", width, width);
    add_norm(out, block + "ln_2", width);
    add_product(out, block + "mlp.c_fc", width, config.inner);
    add_product(out, block + "mlp.c_proj", config.inner, width);
  }
  add_norm(out, "transformer.ln_f", width);
  return out;
}

/// One tensor of ours from several of `width` columns: `part` gives name and rows of each.
TensorMapping stacked(const std::string& name, std::int64_t width,
                      const std::vector<std::pair<std::string, std::int64_t>>& parts) {
  TensorMapping out{name, {}, {}};
  std::int64_t rows = 0;
  for (const auto& [part, count] : parts) {
    out.parts.push_back({part, {count, width}});
    rows += count;
  }
  out.shape = {rows, width};
  return out;
}

std::vector<TensorMapping> mappings(const LlamaConfig& config) {
  const std::int64_t width = config.width;
  const std::int64_t queries = config.heads * config.head_size, keys = config.kv_heads * config.head_size;
  std::vector<TensorMapping> out = {same("model.embed_tokens.weight", {config.vocabulary, width})};
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string block = fmt::format("model.layers.{}.", layer), attention = block + "self_attn.";
    out.push_back(same(block + "input_layernorm.weight", {width}));
    out.push_back(stacked(attention + "qkv_proj.weight", width,
                          {{attention + "q_proj.weight", queries},
                           {attention + "k_proj.weight", keys},
                           {attention + "v_proj.weight", keys}}));
    out.push_back(same(attention + "o_proj.weight", {width, queries}));
    out.push_back(same(block + "post_attention_layernorm.weight", {width}));
    out.push_back(
        stacked(block + "mlp.gate_up_proj.weight", width,
                {{block + "mlp.gate_proj.weight", config.inner}, {block + "mlp.up_proj.weight", config.inner}}));
    out.push_back(same(block + "mlp.down_proj.weight", {width, config.inner}));
  }
  out.push_back(same("model.norm.weight", {width}));
  if (config.head == LlamaConfig::Head::own) out.push_back(same(head_name, {config.vocabulary, width}));
  return out;
}

/// Whether `name` (without prefix) is one of the masks and tables that older versions stored for each block.
bool is_left_out(std::string_view name, const Naming& naming) {
  if (!name.starts_with(naming.layers)) return false;
  name.remove_prefix(naming.layers.size());
  const std::size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
  if (digits == 0 || digits > 6 || std::stoll(std::string(name.substr(0, digits))) >= naming.blocks) return false;
  return std::ranges::find(naming.left_out, name.substr(digits)) != naming.left_out.end();
}

/// What a file has, under the names of ours: those with the prefix.
class FileNames {
 public:
  FileNames(const SafeTensors& files, const Naming& naming) : naming_(naming) {
    for (const SafeTensor& tensor : files.tensors()) take(tensor);
  }

  const SafeTensor* find(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : it->second;
  }
  const std::map<std::string, const SafeTensor*>& all() const { return tensors_; }
  const std::vector<std::string>& left_out() const { return left_out_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void take(const SafeTensor& tensor) {
    const bool prefixed = tensor.name.starts_with(naming_.prefix);
    const std::string bare = prefixed ? tensor.name.substr(naming_.prefix.size()) : tensor.name;
    if (is_left_out(bare, naming_)) return left_out_.push_back(tensor.name);
    const std::string full = prefixed || tensor.name == head_name ? tensor.name : naming_.prefix + tensor.name;
    if (!tensors_.emplace(full, &tensor).second) {
      problems_.push_back(fmt::format("{} is there with and without \"{}\"", quoted_name(bare), naming_.prefix));
    }
    const auto dtype = safetensors_dtype(tensor.dtype);
    if (dtype && is_floating(*dtype)) return;
    problems_.push_back(
        fmt::format("{} is of {}, wanted F32, BF16, F16 or F64", quoted_name(tensor.name), tensor.dtype));
  }

  const Naming& naming_;
  std::map<std::string, const SafeTensor*> tensors_;
  std::vector<std::string> left_out_, problems_;
};

}  // namespace

std::vector<TensorMapping> tensor_mappings(const ModelConfig& config) {
  return std::visit([](const auto& model) { return mappings(model); }, config);
}

std::vector<std::string> tensor_differences(std::span<const NamedShape> wanted, std::span<const NamedShape> found) {
  std::map<std::string, const NamedShape*> by_name;
  for (const NamedShape& one : found) by_name.emplace(one.name, &one);
  std::vector<std::string> out;
  std::set<std::string> known;
  for (const NamedShape& one : wanted) {
    known.insert(one.name);
    const auto it = by_name.find(one.name);
    if (it == by_name.end()) {
      out.push_back(fmt::format("{} is missing, wanted with {}", quoted_name(one.name), one.shape));
    } else if (it->second->shape != one.shape) {
      out.push_back(fmt::format("{} is {}, wanted {}", quoted_name(one.name), it->second->shape, one.shape));
    }
  }
  for (const NamedShape& one : found) {
    if (!known.contains(one.name)) {
      out.push_back(fmt::format("{} with {} is not known to this model", quoted_name(one.name), one.shape));
    }
  }
  return out;
}

FoundModel find_model(const ModelConfig& config, const SafeTensors& files) {
  const Naming naming = std::visit([](const auto& model) { return naming_of(model); }, config);
  const FileNames names(files, naming);
  FoundModel out;
  std::vector<NamedShape> wanted, found;
  for (TensorMapping& mapping : tensor_mappings(config)) {
    wanted.insert(wanted.end(), mapping.parts.begin(), mapping.parts.end());
    out.entries.push_back({std::move(mapping), {}});
  }
  for (const auto& [name, tensor] : names.all()) found.push_back({name, tensor->shape});
  const std::string embedding = naming.prefix + naming.embedding;
  if (naming.tied && names.find(head_name) != nullptr) {
    const auto at = std::ranges::find(wanted, embedding, &NamedShape::name);
    wanted.push_back({head_name, at->shape});
  }
  std::vector<std::string> problems = tensor_differences(wanted, found);
  problems.insert(problems.end(), names.problems().begin(), names.problems().end());
  if (!problems.empty()) {
    fail(ExitCode::corrupt_input, "the tensors in {} are not those of config.json:\n  {}", files.files().front().path,
         fmt::join(problems, "\n  "));
  }
  for (FoundModel::Entry& entry : out.entries) {
    for (const NamedShape& part : entry.mapping.parts) entry.parts.push_back(names.find(part.name));
  }
  if (naming.tied) out.head = names.find(head_name);
  if (out.head != nullptr) out.embedding = names.find(embedding);
  out.left_out = names.left_out();
  return out;
}

}  // namespace trireme
