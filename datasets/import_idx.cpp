#include "datasets/import_idx.hpp"

#include <algorithm>
#include <filesystem>
#include <span>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "core/io/gzip.hpp"
#include "datasets/progress.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

constexpr unsigned u8_code = 0x08;
constexpr std::size_t first_piece = std::size_t{64} << 10;
constexpr std::int64_t block_bytes = std::int64_t{4} << 20;
constexpr std::int64_t largest_image = std::int64_t{1} << 30;

/// An IDX file of u8 elements, read front to back.
class IdxFile {
 public:
  /// `role` is "images" or "labels" and gives the wanted number of dims in messages.
  IdxFile(const std::string& path, const char* role, std::span<const int> wanted_dims) : file_(path), role_(role) {
    std::byte magic[4];
    file_.read_exactly(magic, "the IDX header");
    const auto byte = [&](int i) { return std::to_integer<unsigned>(magic[i]); };
    if (byte(0) != 0 || byte(1) != 0) {
      fail(ExitCode::corrupt_input,
           "{} is not an IDX file of {}: it begins with {:02x} {:02x} {:02x} {:02x}, wanted 00 00 08 {:02x}", path,
           role, byte(0), byte(1), byte(2), byte(3), wanted_dims.front());
    }
    if (byte(2) != u8_code) {
      fail(ExitCode::corrupt_input, "{}: IDX {} of type {:#04x}, wanted 0x08 (unsigned bytes)", path, role, byte(2));
    }
    const int dims = static_cast<int>(byte(3));
    if (std::ranges::find(wanted_dims, dims) == wanted_dims.end()) {
      fail(ExitCode::corrupt_input, "{}: IDX {} with {} dims, wanted {}; were images and labels exchanged?", path, role,
           dims, wanted_dims.front());
    }
    for (int i = 0; i < dims; ++i) extents_.push_back(read_extent());
    check_size();
  }

  std::int64_t count() const { return extents_.front(); }
  const std::vector<std::int64_t>& extents() const { return extents_; }
  std::int64_t row_bytes() const { return row_bytes_; }
  const std::string& path() const { return file_.path(); }

  /// `out` grows with what is really there: the header of a compressed file may claim any size.
  void read_rows(std::int64_t rows, std::vector<std::byte>& out) {
    const std::size_t wanted = to_size(rows * row_bytes_);
    for (std::size_t done = 0; done < wanted;) {
      const std::size_t some = std::min(wanted - done, std::max(first_piece, done));
      if (out.size() < done + some) out.resize(done + some);
      file_.read_exactly(std::span(out).subspan(done, some),
                         fmt::format("the {} (the header says {} of {} bytes)", role_, count(), row_bytes_));
      done += some;
    }
    out.resize(wanted);
  }

  /// Checks that the file ends here and describes it.
  Json end() {
    file_.expect_end();
    return {{"file", std::filesystem::path(path()).filename().string()},
            {"bytes", file_.stored_bytes()},
            {"xxh3_128", file_.stored_hash().hex()}};
  }

 private:
  std::int64_t read_extent() {
    std::byte raw[4];
    file_.read_exactly(raw, "the IDX header");
    std::int64_t extent = 0;
    for (const std::byte b : raw) extent = extent << 8 | std::to_integer<std::int64_t>(b);
    return extent;
  }

  void check_size() {
    if (count() == 0) fail(ExitCode::corrupt_input, "{} holds no {}: the data set would be empty", path(), role_);
    for (std::size_t i = 1; i < extents_.size(); ++i) {
      if (extents_[i] == 0 || extents_[i] > largest_image / row_bytes_) {
        fail(ExitCode::corrupt_input, "{}: an image of {} bytes in a row of {} is not plausible", path(), extents_[i],
             row_bytes_);
      }
      row_bytes_ *= extents_[i];
    }
    const std::uint64_t wanted =
        file_.position() + static_cast<std::uint64_t>(count()) * static_cast<std::uint64_t>(row_bytes_);
    if (!file_.compressed() && file_.stored_bytes() != wanted) {
      fail(ExitCode::corrupt_input, "{} has {} bytes, its header ({} {} of {} bytes) wants {}: it is {}", path(),
           file_.stored_bytes(), count(), role_, row_bytes_, wanted,
           file_.stored_bytes() < wanted ? "cut off" : "followed by other bytes");
    }
  }

  InputFile file_;
  std::string role_;
  std::vector<std::int64_t> extents_;
  std::int64_t row_bytes_ = 1;
};

constexpr int image_dims[] = {3, 4}, label_dims[] = {1};

/// Reads all labels once before anything is written. Returns how many there are and checks them against `classes`;
/// the largest label comes back through the second member.
struct LabelScan {
  std::int64_t count = 0;
  unsigned largest = 0;
};

LabelScan scan_labels(const std::string& path, std::size_t classes) {
  IdxFile file(path, "labels", label_dims);
  LabelScan scan{file.count(), 0};
  std::vector<std::byte> block;
  for (std::int64_t first = 0; first < file.count(); first += block_bytes) {
    file.read_rows(std::min(block_bytes, file.count() - first), block);
    for (std::size_t i = 0; i < block.size(); ++i) {
      const auto label = std::to_integer<unsigned>(block[i]);
      if (label >= classes) {
        fail(ExitCode::corrupt_input, "{}: label {} of sample {} is out of range: there are {} classes (0 to {})", path,
             label, first + static_cast<std::int64_t>(i), classes, classes - 1);
      }
      scan.largest = std::max(scan.largest, label);
    }
  }
  file.end();
  return scan;
}

struct SplitSource {
  std::string name, images, labels;
};

/// Copies one split in blocks. Returns its provenance.
Json import_split(const SplitSource& source, DatasetWriter& writer) {
  IdxFile images(source.images, "images", image_dims), labels(source.labels, "labels", label_dims);
  writer.begin_split(source.name, images.count());
  Progress progress("importing " + source.name, images.count());
  const std::int64_t block_rows = std::max<std::int64_t>(1, block_bytes / images.row_bytes());
  std::vector<std::byte> pixels, bytes;
  std::vector<std::int32_t> classes;
  for (std::int64_t first = 0; first < images.count(); first += block_rows) {
    const std::int64_t rows = std::min(block_rows, images.count() - first);
    images.read_rows(rows, pixels);
    labels.read_rows(rows, bytes);
    classes.clear();
    for (const std::byte b : bytes) classes.push_back(std::to_integer<std::int32_t>(b));
    const FieldBlock blocks[] = {{pixels.data()}, {classes.data()}};
    writer.append(rows, blocks);
    progress.advance(rows);
  }
  return Json::array({images.end(), labels.end()});
}

/// Shape of one image as (H, W, C); checks that images and labels are equally many.
Shape check_pair(const SplitSource& source, std::int64_t labels) {
  const IdxFile images(source.images, "images", image_dims);
  if (images.count() != labels) {
    fail(ExitCode::corrupt_input, "{} holds {} images, {} holds {} labels: they do not belong together", source.images,
         images.count(), source.labels, labels);
  }
  const auto& e = images.extents();
  return {e[1], e[2], e.size() == 4 ? e[3] : 1};
}

}  // namespace

DatasetIndex import_idx(const IdxImport& import) {
  if (import.images.empty() || import.labels.empty() || import.test_images.empty() != import.test_labels.empty()) {
    fail(ExitCode::usage,
         "images and labels come in pairs: give --images and --labels, and both or none of --test-images "
         "and --test-labels");
  }
  std::vector<SplitSource> sources{{"train", import.images, import.labels}};
  if (!import.test_images.empty()) sources.push_back({"test", import.test_images, import.test_labels});

  auto classes = import.classes;
  const LabelScan train = scan_labels(import.labels, classes.empty() ? 256 : classes.size());
  for (unsigned c = 0; import.classes.empty() && c <= train.largest; ++c) classes.push_back(std::to_string(c));
  const Shape image = check_pair(sources.front(), train.count);
  if (sources.size() == 2) {
    const Shape test = check_pair(sources.back(), scan_labels(import.test_labels, classes.size()).count);
    if (!(test == image)) {
      fail(ExitCode::corrupt_input, "{} holds images {}, {} holds images {}: they must be equal", import.images,
           image.text(), import.test_images, test.text());
    }
  }

  DatasetWriter writer({.folder = import.out,
                        .name = import.name,
                        .fields = {{"image", DType::u8, image}, {"label", DType::i32, Shape{}}},
                        .class_names = classes,
                        .shard_rows = import.shard_rows,
                        .compress = import.compress,
                        .existing = import.existing});
  Json files = Json::array();
  for (const auto& source : sources) {
    for (auto& file : import_split(source, writer)) files.push_back(file);
  }
  return writer.finish({{"importer", "idx"}, {"date", utc_now()}, {"sources", files}});
}

}  // namespace trireme
