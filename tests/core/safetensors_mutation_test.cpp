// A thousand damaged files: none may crash the reader, and none may be taken for something it is not. The format has no
// checksum, so what can change unseen by the reader is listed here: names, which whoever asks for tensors finds
// missing; element types of one size and shapes without elements, which he finds to be others; and the elements
// themselves.
#include <algorithm>
#include <iostream>

#include "core/io/json.hpp"
#include "tests/core/model_helpers.hpp"
#include "tests/datasets/helpers.hpp"
#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

/// One or two changes of a kind that disks, networks and editors make; most keep the length.
std::string mutated(const std::string& whole, std::size_t header, std::mt19937& random) {
  const std::string letters = "0123456789FBI,:[]{}\" ";
  std::string out = whole;
  const auto up_to = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random); };
  for (std::size_t changes = 1 + up_to(1); changes > 0; --changes) {
    const std::size_t at = up_to(std::min(header, out.size()) - 1), kind = up_to(9);
    if (kind < 4) {
      out[at] = static_cast<char>(out[at] ^ 1 << up_to(7));
    } else if (kind < 7) {
      out[at] = letters[up_to(letters.size() - 1)];
    } else if (kind == 7) {
      out.resize(1 + up_to(out.size() - 1));
    } else if (kind == 8) {
      out.insert(at, random_bytes(1 + up_to(20), static_cast<std::uint32_t>(random())));
    } else {
      out.erase(at, 1 + up_to(20));
    }
    if (out.empty()) out = "x";
  }
  return out;
}

/// What a reader is sure of, whatever the tensors are called: sizes and elements in order of their place.
std::vector<std::string> contents_of(const SafeTensors& model) {
  std::vector<std::string> out;
  for (const SafeTensor& tensor : model.tensors()) {
    if (tensor.size() == 0) continue;
    std::string bytes(to_size(tensor.size()), '\0');
    model.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    out.push_back(tensor.shape.text() + " " + bytes);
  }
  return out;
}

TEST(SafetensorsMutation, ADamagedHeaderIsSeen) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  const TempDir dir;
  const std::string path = dir / "model.safetensors";
  const auto specs = odd_specs();
  SafeTensorsWriter writer(path, specs);
  write_all_of(writer, random_bytes(total_bytes(specs), seed), 1000);
  const std::string whole = read_text(path);
  const auto contents = contents_of(SafeTensors(path));
  const auto header = to_size(SafeTensors(path).tensors().at(0).bytes.begin);
  std::mt19937 random(seed);
  int refused = 0, equal = 0, silent = 0;
  for (int k = 0; k < 1000; ++k) {
    write_text(path, mutated(whole, header, random));
    try {
      const SafeTensors model(path);
      const bool same = contents_of(model) == contents;
      ++(same ? equal : silent);
      EXPECT_TRUE(same) << "file " << k << " was taken for something else";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      ++refused;
    }
  }
  std::cout << "1000 damaged files: " << refused << " refused, " << equal
            << " read with every size and element right (names, types of one size, metadata changed), " << silent
            << " silent\n";
  EXPECT_GT(refused, 500);
}

TEST(SafetensorsMutation, ADamagedIndexIsSeen) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  const TempDir dir;
  const auto specs = odd_specs();
  SafeTensorsFolderWriter writer(dir.path().string(), specs, 100);
  write_all_of(writer, random_bytes(total_bytes(specs), seed), 1000);
  const std::string path = dir / "model.safetensors.index.json", whole = read_text(path);
  const TensorValues values = values_of(SafeTensors(dir.path().string()));
  std::mt19937 random(seed);
  int refused = 0;
  for (int k = 0; k < 300; ++k) {
    write_text(path, mutated(whole, whole.size(), random));
    try {
      EXPECT_EQ(values_of(SafeTensors(dir.path().string())), values) << "index " << k;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 150);
}

/// The elements of each tensor of a model, in its order.
std::vector<std::string> weights_of(const SafeTensors& files) {
  std::vector<std::string> out;
  for (const FoundModel::Entry& entry : find_model(tiny_gpt2(), files).entries) {
    const SafeTensor& tensor = *entry.parts.at(0);
    std::string bytes(to_size(tensor.size()), '\0');
    files.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    out.push_back(tensor.dtype + bytes);
  }
  return out;
}

TEST(SafetensorsMutation, NoDamagedHeaderGivesAModelOtherWeights) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  const TempDir dir;
  write_model(dir.path().string(), {.model = tiny_gpt2()}, foreign_specs(tiny_gpt2()));
  const std::string path = dir / "model.safetensors", whole = read_text(path);
  const auto weights = weights_of(SafeTensors(path));
  const auto header = to_size(SafeTensors(path).tensors().at(0).bytes.begin);
  std::mt19937 random(seed);
  int refused = 0, equal = 0;
  for (int k = 0; k < 1000; ++k) {
    write_text(path, mutated(whole, header, random));
    try {
      EXPECT_EQ(weights_of(SafeTensors(path)), weights) << "file " << k;
      ++equal;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
      ++refused;
    }
  }
  std::cout << "1000 damaged models: " << refused << " refused, " << equal << " read with all weights right\n";
  EXPECT_GT(refused, 700);
}

}  // namespace
}  // namespace trireme
