// Which tensors of a Hugging Face model make up which of ours. GPT-2 has the same on both sides; of Llama, the products
// that share an input are one tensor here: the rows of query, key and value one after the other, and those of gate and
// up. So a tensor of ours is the rows of one or more of theirs, and either can be streamed into the other.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/io/safetensors.hpp"
#include "core/models/config.hpp"

namespace trireme {

struct NamedShape {
  std::string name;
  Shape shape;
};

struct TensorMapping {
  std::string name;  ///< Ours.
  Shape shape;
  std::vector<NamedShape> parts;  ///< Theirs; one after the other they are the rows of ours.
};

/// All tensors of a model, in the order of its layers.
std::vector<TensorMapping> tensor_mappings(const ModelConfig& config);

/// A line for each tensor that is missing, that nobody wants, or that has another shape.
std::vector<std::string> tensor_differences(std::span<const NamedShape> wanted, std::span<const NamedShape> found);

/// Where a model's tensors lie in a file.
struct FoundModel {
  struct Entry {
    TensorMapping mapping;
    std::vector<const SafeTensor*> parts;  ///< As many as the mapping has.
  };
  std::vector<Entry> entries;
  /// A head that the file has although the model's head is its embedding: the two must hold the same numbers.
  const SafeTensor* head = nullptr;
  const SafeTensor* embedding = nullptr;
  std::vector<std::string> left_out;  ///< Masks and tables that older versions stored.
};

/// Finds all of the model's tensors, with or without the name of the inner model in front of theirs ("transformer.",
/// "model."). Error(corrupt_input) with a line for each that is missing, unknown, of another shape or of no floating
/// type. `files` must outlive the answer.
FoundModel find_model(const ModelConfig& config, const SafeTensors& files);

}  // namespace trireme
