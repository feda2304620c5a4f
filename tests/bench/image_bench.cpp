// Images a second that one loader thread decodes and changes: JPEG files of 500 x 375 pixels as a camera makes them
// (brightness in twice the pixels of colour, quality 90), a random part of each made to 224 x 224, half of them
// mirrored, normalised to f32.
//   image_bench FOLDER   writes FOLDER/files/CLASS/N.jpg, which image_peer.py reads, and a data set of them
#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/image_decode.hpp"
#include "datasets/dataset.hpp"
#include "datasets/image_transforms.hpp"
#include "datasets/import_images.hpp"
#include "datasets/loader.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/jpeg_bytes.hpp"

namespace trireme::bench {
namespace {

constexpr std::int64_t width = 500, height = 375, count = 128, batch = 32;
constexpr int rounds = 7, batches = 8;

/// Clouds: noise at many sizes, each half as strong as the one twice its size, as in photographs.
std::vector<float> clouds(std::mt19937& random) {
  std::vector<float> out(to_size(width * height), 0);
  float strength = 1;
  for (std::int64_t cell = 256; cell >= 2; cell /= 2, strength *= 0.55f) {
    const std::int64_t across = width / cell + 2, down = height / cell + 2;
    std::vector<float> grid(to_size(across * down));
    for (float& value : grid) value = static_cast<float>(random() % 2001) / 1000 - 1;
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x) {
        const std::size_t at = to_size(y / cell * across + x / cell);
        const float u = static_cast<float>(x % cell) / static_cast<float>(cell),
                    v = static_cast<float>(y % cell) / static_cast<float>(cell);
        const float upper = grid[at] + u * (grid[at + 1] - grid[at]);
        const float lower =
            grid[at + to_size(across)] + u * (grid[at + to_size(across) + 1] - grid[at + to_size(across)]);
        out[to_size(y * width + x)] += strength * (upper + v * (lower - upper));
      }
  }
  return out;
}

std::string photo(std::mt19937& random) {
  const std::vector<float> light = clouds(random), first = clouds(random), second = clouds(random);
  std::vector<std::uint8_t> pixels;
  pixels.reserve(light.size() * 3);
  const auto add = [&](float value) { pixels.push_back(static_cast<std::uint8_t>(std::clamp(value, 0.0f, 255.0f))); };
  for (std::size_t k = 0; k < light.size(); ++k) {
    const float grey = 128 + 70 * light[k];
    add(grey + 25 * first[k]);
    add(grey - 12 * first[k] - 8 * second[k]);
    add(grey + 30 * second[k]);
  }
  return jpeg_bytes({.width = width, .height = height, .channels = 3, .pixels = pixels},
                    {.quality = 90, .colour_step = 2});
}

void run(const std::string& folder) {
  namespace fs = std::filesystem;
  fs::remove_all(folder);
  std::mt19937 random(5);
  double bytes = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    const fs::path path = fs::path(folder) / "files" / (k % 2 == 0 ? "a" : "b") / fmt::format("{:03}.jpg", k);
    fs::create_directories(path.parent_path());
    const std::string file = photo(random);
    write_file_atomically(path.string(), file, FileAccess::readable);
    bytes += static_cast<double>(file.size()) / static_cast<double>(count);
  }
  report("bytes of a file", "bytes", Samples::of({bytes}));
  import_images({.folder = folder + "/files", .out = folder + "/set", .keep = ImagesImport::Keep::files});
  ImageChanges changes = image_changes("crop=0.08,flip");
  changes.list.push_back(normalise({.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}}));
  Loader loader(Dataset::open(folder + "/set").split("train"),
                {.batch = batch, .threads = 1, .depth = 2, .transforms = {{"image", changes.list}}});
  const Samples seconds = time_calls(rounds, [&] {
    for (int k = 0; k < batches; ++k) const Batch taken = loader.next();
  });
  report("decode and change", "images/s", seconds.rate(static_cast<double>(batches * batch)));
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') return 2;
  if (!trireme::jpeg_available()) {
    fmt::print("skipped: built without libjpeg-turbo\n");
    return 77;
  }
  trireme::bench::run(argv[1]);
  return 0;
}
