// Folders of Hugging Face models and of our checkpoints for the tests of export and import, and the tensors in them.
#pragma once

#include "core/tensor/convert.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "tests/core/model_helpers.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"

namespace trireme {

/// The elements of a parameter, f32.
inline std::string weights_in(const CheckpointReader& reader, const std::string& name) {
  const SavedTensor* const tensor = reader.find("param", name);
  if (tensor == nullptr) throw std::runtime_error("no parameter " + name);
  std::string out(to_size(tensor->shape.elements()) * size_of(tensor->dtype), '\0');
  reader.read(*tensor, 0, tensor->shape.elements(), out.data());
  return out;
}

inline std::string converted(const std::string& bytes, DType from, DType to) {
  std::string out(bytes.size() / size_of(from) * size_of(to), '\0');
  convert_elements(from, std::as_bytes(std::span(bytes)), to, std::as_writable_bytes(std::span(out)));
  return out;
}

/// What TensorValues say of a tensor, without type and shape: its elements.
inline std::string elements_of(const TensorValues& values, const std::string& name) {
  const std::string& all = values.at(name);
  return all.substr(all.find(") ") + 2);
}

/// A run of the model whose parameters hold these elements, in the order of its tensors, saved by three ranks.
inline std::string save_run(const std::string& run, const ModelConfig& config, const std::string& elements) {
  TestCheckpoint saved{.step = 7, .ranks = 3, .tensors = {}};
  std::size_t at = 0;
  for (const TensorMapping& mapping : tensor_mappings(config)) {
    std::vector<float> values(to_size(mapping.shape.elements()));
    std::memcpy(values.data(), elements.data() + at, values.size() * sizeof(float));
    at += values.size() * sizeof(float);
    saved.tensors.push_back(test_tensor<float>("param", mapping.name, mapping.shape, values));
    saved.tensors.push_back(test_tensor<float>("moment1", mapping.name, mapping.shape, values));
  }
  std::filesystem::create_directories(run);
  write_text(run + "/config.ini", "");
  write_text(run + "/config.json", hugging_face_config_text({.model = config, .begin_token = 3, .end_tokens = {4}}));
  write_text(run + "/tokenizer.json", "{\"a tokenizer\": 1}");
  return save(run + "/checkpoints", saved);
}

/// Whether only these names are in the folder, hidden ones counted.
inline void expect_only(const std::string& folder, std::vector<std::string> names) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) found.push_back(entry.path().filename());
  std::ranges::sort(found);
  std::ranges::sort(names);
  EXPECT_EQ(found, names) << folder;
}

}  // namespace trireme
