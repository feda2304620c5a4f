// The import of IDX files. The input is one byte that says how each file is stored, the length of the labels in two
// bytes, the labels, the images. What was imported must pass `trireme data verify` and hold what the headers say; what
// was refused must leave nothing behind.
#include <zlib.h>

#include "datasets/import_idx.hpp"
#include "datasets/verify.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
enum Storage : std::uint64_t { compress_labels = 1, compress_images = 2, with_test_split = 4, with_classes = 8 };

/// `bytes` as a gzip file, so that mutated content comes with a valid check sum.
std::string compressed(std::string_view bytes) {
  z_stream stream{};
  const int gzip_with_small_window = 9 + 16;
  fuzz::demand(deflateInit2(&stream, 1, Z_DEFLATED, gzip_with_small_window, 1, Z_DEFAULT_STRATEGY) == Z_OK,
               "zlib starts");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<unsigned>(bytes.size());
  stream.next_out = reinterpret_cast<unsigned char*>(out.data());
  stream.avail_out = static_cast<unsigned>(out.size());
  fuzz::demand(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib compresses");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string idx(std::initializer_list<std::uint32_t> extents, std::string_view elements) {
  std::string out{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(extent >> shift);
  }
  return out.append(elements);
}

std::string seed(std::uint64_t storage, std::string_view labels, std::string_view images) {
  std::string out{static_cast<char>(storage), static_cast<char>(labels.size() >> 8), static_cast<char>(labels.size())};
  return out.append(labels).append(images);
}

void check_taken(const std::string& out, const DatasetIndex& index, std::uint64_t storage) {
  const Dataset dataset = Dataset::open(out);
  fuzz::demand(dataset.fingerprint() == index.fingerprint(), "the index comes back");
  const VerifyReport report = verify_dataset(dataset);
  fuzz::demand(report.problems.empty(), report.problems.empty() ? "" : report.problems.front().what);
  const std::int64_t splits = (storage & with_test_split) != 0 ? 2 : 1;
  fuzz::demand(report.samples == splits * index.splits.front().count, "every sample is in a shard");
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  const std::string labels = idx({4}, std::string_view("\0\1\2\1", 4)),
                    images = idx({4, 2, 3}, "abcdefghijklmnopqrstuvwx");
  const std::string colour = idx({4, 1, 2, 3}, "abcdefghijklmnopqrstuvwx");
  const std::string two_members = compressed(images.substr(0, 20)) + compressed(images.substr(20));
  return {seed(0, labels, images),
          seed(with_test_split | with_classes, labels, colour),
          seed(compress_labels | compress_images, labels, images),
          seed(compress_images, labels, colour),
          seed(0, compressed(labels), compressed(images)),
          seed(0, labels, two_members),
          seed(compress_labels | compress_images, idx({4'000'000'000}, "\1"), idx({1, 1 << 15, 1 << 15}, "x"))};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const std::uint64_t storage = input.number(1);
  const std::string_view labels = input.text(input.number(2)), images = input.rest();
  const fs::path folder = fuzz::work_folder();
  fuzz::write_file(folder / "labels", (storage & compress_labels) != 0 ? compressed(labels) : labels);
  fuzz::write_file(folder / "images", (storage & compress_images) != 0 ? compressed(images) : images);
  IdxImport job{.images = folder / "images", .labels = folder / "labels", .out = folder / "out", .shard_rows = 3};
  if ((storage & with_test_split) != 0) job.test_images = job.images, job.test_labels = job.labels;
  if ((storage & with_classes) != 0) job.classes = {"a", "b", "c"};
  DatasetIndex index;
  if (fuzz::takes([&] { index = import_idx(job); })) check_taken(job.out, index, storage);
  fs::remove_all(job.out);
  fuzz::demand(!fs::exists(folder / ".out.partial"), "no half data set stays behind");
  return 0;
}
