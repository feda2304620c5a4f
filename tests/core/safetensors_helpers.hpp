// Safetensors files for tests: forged ones put together by hand from JSON and bytes, whole ones with random elements,
// and what a reader finds in them as plain values.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "core/io/safetensors.hpp"
#include "core/io/safetensors_writer.hpp"

namespace trireme {

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  ASSERT_TRUE(file.good()) << path;
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A file of the format whatever its header says: length, header, elements.
inline std::string forged_file(const std::string& header, const std::string& elements) {
  std::string out;
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(header.size() >> shift & 0xff);
  return out + header + elements;
}

/// Name -> "F32 (2, 3)" and the bytes behind it.
using TensorValues = std::map<std::string, std::string>;

inline TensorValues values_of(const SafeTensors& model) {
  TensorValues out;
  for (const SafeTensor& tensor : model.tensors()) {
    std::string bytes(to_size(tensor.size()), '\0');
    model.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    out[tensor.name] = tensor.dtype + " " + tensor.shape.text() + " " + bytes;
  }
  return out;
}

/// One tensor of each element type, a number, one without elements, and names that are awkward somewhere.
inline std::vector<SafeTensorSpec> odd_specs() {
  return {{"f64", DType::f64, {3, 5}},     {"h.0.weight", DType::f32, {7, 2, 3}},
          {"half", DType::f16, {11}},      {"brain", DType::bf16, {5, 1}},
          {"long", DType::i64, {2}},       {"int", DType::i32, {}},
          {"none", DType::f32, {4, 0, 2}}, {"Größe \"1\"\n/..", DType::u8, {13}}};
}

inline std::string random_bytes(std::size_t count, std::uint32_t seed) {
  std::mt19937 bits(seed);
  std::string out(count, '\0');
  for (char& byte : out) byte = static_cast<char>(bits());
  return out;
}

/// What values_of() must find where `elements` were written for `specs`.
inline TensorValues expected_values(const std::vector<SafeTensorSpec>& specs, const std::string& elements) {
  TensorValues out;
  std::size_t at = 0;
  for (const SafeTensorSpec& spec : specs) {
    const std::size_t bytes = to_size(spec.bytes());
    out[spec.name] =
        std::string(safetensors_name(spec.dtype)) + " " + spec.shape.text() + " " + elements.substr(at, bytes);
    at += bytes;
  }
  return out;
}

inline std::size_t total_bytes(const std::vector<SafeTensorSpec>& specs) {
  std::size_t out = 0;
  for (const SafeTensorSpec& spec : specs) out += to_size(spec.bytes());
  return out;
}

/// Gives `elements` to a writer in pieces of `piece` bytes and finishes it.
template <class Writer>
void write_all_of(Writer& writer, const std::string& elements, std::size_t piece) {
  std::span<const std::byte> rest = std::as_bytes(std::span(elements));
  while (!rest.empty()) {
    const std::size_t some = std::min(piece, rest.size());
    writer.append(rest.first(some));
    rest = rest.subspan(some);
  }
  writer.commit();
}

}  // namespace trireme
