#include "datasets/import_cifar.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "core/io/gzip.hpp"
#include "datasets/progress.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t side = 32, channels = 3, plane = side * side, pixels = channels * plane;
constexpr std::int64_t block_records = 1024;
constexpr std::size_t largest_names = std::size_t{1} << 20;

/// Where a record's label stands, and how many values it may have.
struct RecordForm {
  std::size_t labels = 1;  ///< Label bytes before the pixels.
  std::size_t place = 0;
  std::size_t classes = 10;
  std::size_t bytes() const { return labels + pixels; }
};

/// The uncompressed size decides; one that is a whole number of both kinds is taken for CIFAR-10.
RecordForm form_of(std::uint64_t bytes, const std::string& path, CifarImport::Labels labels) {
  if (bytes > 0 && bytes % (1 + pixels) == 0) return {};
  if (bytes > 0 && bytes % (2 + pixels) == 0)
    return labels == CifarImport::Labels::fine ? RecordForm{2, 1, 100} : RecordForm{2, 0, 20};
  fail(ExitCode::corrupt_input,
       "{} has {} bytes, which is no whole number of records of {} (CIFAR-10) or {} bytes (CIFAR-100): it is cut off, "
       "packed (unpack .tar and .xz first) or something else",
       path, bytes, 1 + pixels, 2 + pixels);
}

std::uint64_t uncompressed_bytes(const std::string& path) {
  InputFile file(path);
  std::vector<std::byte> block(std::size_t{1} << 20);
  while (file.read(block) == block.size()) {
  }
  return file.position();
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> out;
  std::istringstream text(read_file(path, largest_names));
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) out.push_back(line);
  }
  return out;
}

/// The import with the files of its folder named.
CifarImport with_files(CifarImport import) {
  if (import.sources.size() != 1 || !fs::is_directory(import.sources.front())) return import;
  const fs::path folder = import.sources.front();
  import.sources.clear();
  std::vector<std::string> train, test;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    const bool binary = file.ends_with(".bin") || file.ends_with(".bin.gz");
    if (!binary || !entry.is_regular_file()) continue;
    if (file.starts_with("data_batch_") || file.starts_with("train.")) train.push_back(entry.path().string());
    if (file.starts_with("test_batch.") || file.starts_with("test.")) test.push_back(entry.path().string());
  }
  std::ranges::sort(train);
  if (train.empty())
    fail(ExitCode::corrupt_input,
         "{} holds neither data_batch_1.bin nor train.bin: is it a folder of CIFAR's binary version?", folder.string());
  import.sources = train;
  if (import.test_sources.empty()) import.test_sources = test;
  const bool coarse = import.labels == CifarImport::Labels::coarse;
  for (const char* names : {"batches.meta.txt", coarse ? "coarse_label_names.txt" : "fine_label_names.txt"}) {
    if (import.classes.empty() && fs::exists(folder / names)) import.classes = lines_of((folder / names).string());
  }
  return import;
}

struct Source {
  std::string path;
  RecordForm form;
  std::int64_t records = 0;
};

std::vector<Source> check_sources(const std::vector<std::string>& paths, const CifarImport& import) {
  std::vector<Source> out;
  for (const std::string& path : paths) {
    const std::uint64_t bytes = uncompressed_bytes(path);
    const RecordForm form = form_of(bytes, path, import.labels);
    out.push_back({path, form, static_cast<std::int64_t>(bytes / form.bytes())});
  }
  return out;
}

/// Copies one file in blocks; its place in the sources of the data set.
Json import_file(const Source& source, std::size_t classes, DatasetWriter& writer, Progress& progress) {
  InputFile file(source.path);
  std::vector<std::byte> raw;
  std::vector<std::byte> images;
  std::vector<std::int32_t> labels;
  for (std::int64_t first = 0; first < source.records; first += block_records) {
    const std::int64_t count = std::min(block_records, source.records - first);
    raw.resize(to_size(count) * source.form.bytes());
    images.resize(to_size(count) * pixels);
    labels.resize(to_size(count));
    file.read_exactly(raw, "the records");
    for (std::size_t k = 0; k < labels.size(); ++k) {
      const std::byte* record = raw.data() + k * source.form.bytes();
      const auto label = std::to_integer<std::size_t>(record[source.form.place]);
      if (label >= classes)
        fail(ExitCode::corrupt_input, "{}: label {} of record {} is out of range: there are {} classes (0 to {})",
             source.path, label, first + static_cast<std::int64_t>(k), classes, classes - 1);
      labels[k] = static_cast<std::int32_t>(label);
      const std::byte* planes = record + source.form.labels;
      std::byte* out = images.data() + k * pixels;
      for (std::size_t p = 0; p < plane; ++p)
        for (std::size_t c = 0; c < channels; ++c) out[p * channels + c] = planes[c * plane + p];
    }
    const FieldBlock blocks[] = {{images.data()}, {labels.data()}};
    writer.append(count, blocks);
    progress.advance(count);
  }
  file.expect_end();
  return {{"file", fs::path(source.path).filename().string()},
          {"bytes", file.stored_bytes()},
          {"xxh3_128", file.stored_hash().hex()}};
}

}  // namespace

DatasetIndex import_cifar(const CifarImport& asked) {
  const CifarImport import = with_files(asked);
  if (import.sources.empty()) fail(ExitCode::usage, "no files of CIFAR were given: name a folder or files");
  struct Split {
    const char* name;
    std::vector<Source> sources;
  };
  std::vector<Split> splits{{"train", check_sources(import.sources, import)}};
  if (!import.test_sources.empty()) splits.push_back({"test", check_sources(import.test_sources, import)});
  const RecordForm form = splits.front().sources.front().form;
  for (const Split& split : splits)
    for (const Source& source : split.sources)
      if (source.form.labels != form.labels)
        fail(ExitCode::corrupt_input, "{} and {} are of different sets: one is CIFAR-10, the other CIFAR-100",
             import.sources.front(), source.path);
  std::vector<std::string> classes = import.classes;
  for (std::size_t c = 0; import.classes.empty() && c < form.classes; ++c) classes.push_back(std::to_string(c));

  DatasetWriter writer({.folder = import.out,
                        .name = import.name,
                        .fields = {{"image", DType::u8, Shape{side, side, channels}}, {"label", DType::i32, Shape{}}},
                        .class_names = classes,
                        .shard_rows = import.shard_rows,
                        .compress = import.compress,
                        .existing = import.existing});
  Json files = Json::array();
  for (const Split& split : splits) {
    std::int64_t records = 0;
    for (const Source& source : split.sources) records += source.records;
    writer.begin_split(split.name, records);
    Progress progress(std::string("importing ") + split.name, records);
    for (const Source& source : split.sources) files.push_back(import_file(source, classes.size(), writer, progress));
  }
  return writer.finish({{"importer", "cifar"}, {"date", utc_now()}, {"sources", files}});
}

}  // namespace trireme
