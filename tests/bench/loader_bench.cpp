// The loader with one thread against what no loader can beat: copying the same rows of the same mapped shards in one
// thread, their places known beforehand. Rows as stored (u8) and normalised to f32; small images and larger ones.
//   loader_bench FOLDER   writes its data sets under FOLDER and removes them
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/io/json.hpp"
#include "datasets/loader.hpp"
#include "datasets/shapes.hpp"
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

/// Rows per second through Loader::next().
Samples through_loader(const Case& what) {
  Loader loader(SubsetView(what.split), {.batch = batch, .seed = seed, .threads = 1, .depth = 4,
                                         .transforms = {{"image", transforms(what.to_float)}}});
  const auto some = [&] {
    for (int i = 0; i < what.images.batches; ++i) const Batch taken = loader.next();
  };
  return time_calls(rounds, some).rate(static_cast<double>(batch * what.images.batches));
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

/// Rows per second of a bare loop over the mapped file, into as many batches as the loader has.
Samples through_mapping(const Case& what) {
  const auto rows = places(what);
  const std::int64_t row = what.images.row();
  const std::size_t slots = 6, width = what.to_float ? 4 : 1;
  std::vector<std::vector<std::byte>> memory(slots, std::vector<std::byte>(to_size(batch * row) * width));
  std::size_t next = 0;
  const auto some = [&] {
    for (int i = 0; i < what.images.batches; ++i) {
      std::byte* out = memory[to_size(i) % slots].data();
      for (std::int64_t k = 0; k < batch; ++k, out += to_size(row) * width) {
        const std::uint8_t* in = rows[next++];
        if (what.to_float) {
          normalise_row(in, reinterpret_cast<float*>(out), row);
        } else {
          std::memcpy(out, in, to_size(row));
        }
      }
    }
  };
  return time_calls(rounds, some).rate(static_cast<double>(batch * what.images.batches));
}

void run(const std::string& folder) {
  const Images sizes[] = {{"28x28x1", 60000, 28, 1, 2000}, {"96x96x3", 6000, 96, 3, 300}};
  for (const Images& images : sizes) {
    const std::string path = folder + "/loader_bench_data";
    const auto split = make_split(path, images);
    for (const bool to_float : {false, true}) {
      const Case what{images, split, to_float};
      const char* kind = to_float ? "normalise" : "copy";
      report(fmt::format("loader {} {}", kind, images.text), "rows/s", through_loader(what));
      report(fmt::format("mapping {} {}", kind, images.text), "rows/s", through_mapping(what));
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
