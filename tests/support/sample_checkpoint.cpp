#include "tests/support/sample_checkpoint.hpp"

#include <cstring>
#include <span>

#include "core/base/error.hpp"
#include "launcher/run/checkpoint_file.hpp"
#include "launcher/run/checkpoint_reader.hpp"

namespace trireme {
namespace {

constexpr std::int64_t ranks = 2;

struct SampleTensor {
  std::string plane;
  std::string name;
  DType dtype;
  Shape shape;
};

/// Whole pages, odd sizes, a scalar, and more than one dtype.
std::vector<SampleTensor> sample_tensors() {
  return {{"param", "0.weight", DType::f32, Shape{61, 33}},
          {"param", "0.bias", DType::f32, Shape{33}},
          {"moment1", "0.weight", DType::f32, Shape{61, 33}},
          {"state", "1.count", DType::i64, Shape{1}}};
}

/// Bytes of a tensor: a generator stepped per byte, begun from all that names it. Any byte pattern is a float here,
/// because nothing computes with them.
std::string bytes_of(const SampleTensor& tensor, const Sample& sample) {
  const Hash128 seed = hash_text(fmt::format("{}/{} {}", tensor.plane, tensor.name, sample.text()));
  std::uint64_t word = seed.low | 1;
  std::string bytes(static_cast<std::size_t>(tensor.shape.elements()) * size_of(tensor.dtype), '\0');
  for (char& byte : bytes) {
    word = word * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<char>(word >> 56);
  }
  return bytes;
}

/// Elements of `tensor` that `rank` saves; small ones belong to rank 0 alone.
std::pair<std::int64_t, std::int64_t> part_of(const SampleTensor& tensor, std::int64_t rank) {
  const std::int64_t count = tensor.shape.elements();
  if (count < 100) return {0, rank == 0 ? count : 0};
  const std::int64_t cut = count * 2 / 5;
  return rank == 0 ? std::pair(std::int64_t{0}, cut) : std::pair(cut, count - cut);
}

WrittenFile write_rank(const std::string& folder, const Sample& sample, std::int64_t rank) {
  std::vector<std::string> kept;
  std::vector<PieceSource> pieces;
  for (const SampleTensor& tensor : sample_tensors()) kept.push_back(bytes_of(tensor, sample));
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const SampleTensor tensor = sample_tensors()[i];
    const auto [first, count] = part_of(tensor, rank);
    if (count == 0) continue;
    const char* const data = kept[i].data() + static_cast<std::size_t>(first) * size_of(tensor.dtype);
    pieces.push_back({tensor.plane, tensor.name, tensor.dtype, tensor.shape, first, count, data});
  }
  return write_checkpoint_file(fmt::format("{}/rank_{}.h5", folder, rank), sample.step, pieces);
}

std::string wrong_numbers(const CheckpointReader& reader, const Sample& sample) {
  for (const SampleTensor& tensor : sample_tensors()) {
    const SavedTensor* const saved = reader.find(tensor.plane, tensor.name);
    if (saved == nullptr) return fmt::format("{}/{} is not there", tensor.plane, tensor.name);
    const std::string want = bytes_of(tensor, sample);
    std::string got(want.size(), '\0');
    if (saved->shape != tensor.shape || saved->dtype != tensor.dtype) return saved->label() + " has another form";
    reader.read(*saved, 0, tensor.shape.elements(), got.data());
    if (got != want) return fmt::format("{} holds other numbers than those of {}", saved->label(), sample.text());
  }
  return "";
}

}  // namespace

std::string Sample::text() const { return fmt::format("step {} with {} samples", step, samples); }

void save_sample(const CheckpointStore& store, const Sample& sample) {
  try {
    const std::string folder = store.begin(sample.step);
    std::vector<WrittenFile> written;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      written.push_back(WrittenFile::from_text(write_rank(folder, sample, rank).to_text()));
    }
    CheckpointManifest manifest;
    manifest.step = sample.step;
    manifest.samples = sample.samples;
    manifest.ranks = ranks;
    manifest.version = "0.0.0";
    manifest.created = "2026-01-02T03:04:05Z";
    manifest.data = "none";
    manifest.options = Json::object();
    manifest.trainer = Json::object();
    merge_written(manifest, written);
    store.commit(manifest);
  } catch (...) {
    store.abandon(sample.step);
    throw;
  }
}

FoundSample find_sample(const std::string& path) {
  FoundSample found;
  for (const std::string& line : verify_checkpoint(path)) found.problem += line + "\n";
  if (!found.problem.empty()) return found;
  const CheckpointReader reader(path);
  found.sample = {reader.manifest().step, reader.manifest().samples};
  found.problem = wrong_numbers(reader, found.sample);
  return found;
}

}  // namespace trireme
