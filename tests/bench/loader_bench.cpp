// The loader with one thread against what no loader can beat: copying the same rows of the same mapped shards in one
// thread, their places known beforehand. Rows as stored (u8) and normalised to f32; small images and larger ones.
//   loader_bench FOLDER   writes its data sets under FOLDER and removes them
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "core/io/json.hpp"
#include "datasets/dataset.hpp"
#include "datasets/loader.hpp"
#include "datasets/writer.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

constexpr std::int64_t batch = 64;
constexpr std::uint64_t seed = 7;
constexpr int rounds = 9;

struct Images {
  std::string text;
  std::int64_t count, size, channels;
  int batches;
  std::int64_t row() const { return size * size * channels; }
};

std::shared_ptr<const Split> make_split(const std::string& folder, const Images& images) {
  DatasetWriter writer({.folder = folder,
                        .fields = {{"image", DType::u8, {images.size, images.size, images.channels}}},
                        .existing = Existing::replace});
  writer.begin_split("train", images.count);
  std::vector<std::uint8_t> row(to_size(images.row()));
  for (std::int64_t i = 0; i < images.count; ++i) {
    for (std::size_t k = 0; k < row.size(); ++k) row[k] = static_cast<std::uint8_t>(k * 7 + to_size(i) * 13);
    const FieldBlock block{row.data()};
    writer.append(1, {&block, 1});
  }
  writer.finish(Json{{"made_by", "loader_bench"}});
  return Dataset::open(folder).split("train");
}

TransformList transforms(bool to_float) {
  if (!to_float) return {};
  return {normalise({.mean = {0.5}, .deviation = {0.5}})};
}

struct Case {
  const Images& images;
  std::shared_ptr<const Split> split;
  bool to_float;
};

/// Makes the function that takes one round of batches from a loader.
std::function<void()> through_loader(const Case& what) {
  auto loader = std::make_shared<Loader>(
      what.split, LoaderOptions{.batch = batch, .seed = seed, .transforms = {{"image", transforms(what.to_float)}}});
  return [loader, batches = what.images.batches] {
    for (int i = 0; i < batches; ++i) const Batch taken = loader->next();
  };
}

/// One row as the transform does it, written down plainly.
void normalise_row(const std::uint8_t* in, float* out, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) out[k] = static_cast<float>(in[k]) * (2.0F / 255) - 1.0F;
}

/// The rows the loader would give, in its order.
std::vector<const std::uint8_t*> places(const Case& what) {
  const Sampler sampler(what.split->count(), seed);
  std::vector<std::int64_t> samples(to_size(batch * what.images.batches * (rounds + 1)));
  sampler.fill(0, samples);
  std::vector<const std::uint8_t*> out;
  for (const std::int64_t sample : samples)
    out.push_back(reinterpret_cast<const std::uint8_t*>(what.split->row(0, sample)));
  return out;
}

/// The floor: a bare loop over the mapped file, into as many batches as the loader has.
class Mapping {
 public:
  explicit Mapping(const Case& what)
      : rows_(places(what)),
        row_(what.images.row()),
        batches_(what.images.batches),
        to_float_(what.to_float),
        memory_(slots, std::vector<std::byte>(to_size(batch * row_) * width())) {}

  void operator()() {
    for (int i = 0; i < batches_; ++i) {
      std::byte* out = memory_[to_size(i) % slots].data();
      for (std::int64_t k = 0; k < batch; ++k, out += to_size(row_) * width()) take(rows_[next_++], out);
    }
  }

 private:
  static constexpr std::size_t slots = 6;
  std::size_t width() const { return to_float_ ? sizeof(float) : 1; }
  void take(const std::uint8_t* in, std::byte* out) const {
    if (to_float_) {
      normalise_row(in, reinterpret_cast<float*>(out), row_);
    } else {
      std::memcpy(out, in, to_size(row_));
    }
  }

  std::vector<const std::uint8_t*> rows_;
  std::int64_t row_;
  int batches_;
  bool to_float_;
  std::vector<std::vector<std::byte>> memory_;
  std::size_t next_ = 0;
};

/// Seconds of rounds of both, in turns; the first round is not counted.
void compare(const Case& what, const std::string& name) {
  const auto loader = through_loader(what);
  Mapping mapping(what);
  std::vector<double> of_loader, of_mapping;
  for (int round = 0; round <= rounds; ++round) {
    const double start = now();
    loader();
    const double middle = now();
    mapping();
    if (round == 0) continue;
    of_loader.push_back(middle - start);
    of_mapping.push_back(now() - middle);
  }
  const auto amount = static_cast<double>(batch * what.images.batches);
  report("loader " + name, "rows/s", Samples::of(of_loader).rate(amount));
  report("mapping " + name, "rows/s", Samples::of(of_mapping).rate(amount));
}

void run(const std::string& folder) {
  const Images sizes[] = {{"28x28x1", 60000, 28, 1, 2000}, {"96x96x3", 6000, 96, 3, 300}};
  for (const Images& images : sizes) {
    const std::string path = folder + "/loader_bench_data";
    const auto split = make_split(path, images);
    for (const bool to_float : {false, true}) {
      const Case what{images, split, to_float};
      compare(what, fmt::format("{} {}", to_float ? "normalise" : "copy", images.text));
    }
    std::filesystem::remove_all(path);
  }
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "loader_bench: wanted one argument, a folder to write in\n");
    return 2;
  }
  trireme::bench::run(argv[1]);
  return 0;
}
