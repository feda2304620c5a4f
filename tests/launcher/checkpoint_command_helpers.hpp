// Checkpoints for tests of `trireme checkpoint`, written the way a run writes them, and the command as a user meets it:
// words in; text, complaints and exit code out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "core/io/json.hpp"
#include "launcher/job/commands.hpp"
#include "launcher/run/checkpoint_file.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {

/// A tensor with the bytes it is saved from.
struct TestTensor {
  std::string plane, name;
  DType dtype;
  Shape shape;
  std::vector<std::byte> bytes;
};

template <class T>
TestTensor test_tensor(const std::string& plane, const std::string& name, const Shape& shape,
                       const std::vector<T>& values) {
  TestTensor tensor{plane, name, dtype_of<T>, shape, std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

struct TestCheckpoint {
  std::int64_t step = 100;
  std::int64_t ranks = 2;
  Json options{{"batch", "64"}, {"learning-rate", "0.001"}};
  std::vector<TestTensor> tensors = {};
};

/// The weights 0, 1, 2, ... of a small layer with their moments, and a statistic.
inline std::vector<TestTensor> small_network() {
  std::vector<float> weights, moments(60, 0.5f);
  for (int i = 0; i < 60; ++i) weights.push_back(static_cast<float>(i));
  return {test_tensor<float>("param", "0.weight", {12, 5}, weights),
          test_tensor<float>("param", "0.bias", {5}, {1, 2, 3, 4, 5}),
          test_tensor<float>("moment1", "0.weight", {12, 5}, moments),
          test_tensor<double>("state", "1.mean", {}, {-2.5})};
}

/// Writes it into `folder`, each tensor cut over its ranks; the path of the checkpoint.
inline std::string save(const std::string& folder, const TestCheckpoint& one) {
  const CheckpointStore store(folder);
  const std::string at = store.begin(one.step);
  std::vector<WrittenFile> files;
  for (std::int64_t rank = 0; rank < one.ranks; ++rank) {
    std::vector<PieceSource> pieces;
    for (const TestTensor& tensor : one.tensors) {
      const std::int64_t elements = tensor.shape.elements();
      const std::int64_t first = elements * rank / one.ranks, end = elements * (rank + 1) / one.ranks;
      if (first == end) continue;
      pieces.push_back({tensor.plane, tensor.name, tensor.dtype, tensor.shape, first, end - first,
                        tensor.bytes.data() + to_size(first) * size_of(tensor.dtype)});
    }
    files.push_back(write_checkpoint_file(fmt::format("{}/rank_{:05}.h5", at, rank), one.step, pieces));
  }
  CheckpointManifest manifest{.step = one.step,
                              .samples = one.step * 64,
                              .ranks = one.ranks,
                              .version = "0.1.0",
                              .created = "2026-11-24T08:15:00Z",
                              .data = "0123456789abcdef0123456789abcdef",
                              .options = one.options,
                              .trainer = {{"skipped", 3}},
                              .files = {},
                              .tensors = {}};
  merge_written(manifest, files);
  return store.commit(manifest);
}

inline std::string save(const std::string& folder, std::int64_t step) {
  return save(folder, {.step = step, .tensors = small_network()});
}

inline void flip_byte(const std::string& path, std::int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const int byte = file.get();
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 0x10));
  ASSERT_TRUE(file.good()) << path;
}

struct Answer {
  int code;
  std::string out, err;
  bool says(const std::string& words) const { return out.find(words) != std::string::npos; }
  bool complains(const std::string& words) const { return err.find(words) != std::string::npos; }
};

inline std::ostream& operator<<(std::ostream& stream, const Answer& answer) {
  return stream << "exit code " << answer.code << "\n" << answer.out << "---\n" << answer.err;
}

/// `trireme WORDS...`
inline Answer answer_of(const std::vector<std::string>& words) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = run_trireme(words);
  const std::string out = testing::internal::GetCapturedStdout();
  return {code, out, testing::internal::GetCapturedStderr()};
}

/// `trireme checkpoint WORDS...`
inline Answer checkpoint(std::vector<std::string> words) {
  words.insert(words.begin(), "checkpoint");
  return answer_of(words);
}

}  // namespace trireme
