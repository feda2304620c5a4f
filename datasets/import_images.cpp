#include "datasets/import_images.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "core/io/hash.hpp"
#include "core/io/image_decode.hpp"
#include "datasets/ordered_work.hpp"
#include "datasets/progress.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_file = std::size_t{1} << 30;

struct ImageFile {
  std::string path;
  std::int32_t label = 0;
};

struct ClassFolder {
  std::string name;
  std::vector<std::string> files;
};

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

bool is_image_name(const fs::path& path) {
  std::string end = path.extension().string();
  std::ranges::transform(end, end.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return end == ".png" || end == ".jpg" || end == ".jpeg";
}

/// All images below a folder, in the order of their paths' bytes.
std::vector<std::string> images_below(const fs::path& folder, std::int64_t& passed_over) {
  std::vector<std::string> out;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    if (is_hidden(entry->path())) {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    if (is_image_name(entry->path())) {
      out.push_back(entry->path().string());
    } else {
      ++passed_over;
    }
  }
  std::ranges::sort(out);
  return out;
}

std::vector<ClassFolder> scan(const std::string& folder, OnError on_error) {
  if (!fs::is_directory(folder))
    fail(ExitCode::corrupt_input, "'{}' is no folder; wanted one with a folder of images for each class", folder);
  std::vector<ClassFolder> out;
  std::int64_t passed_over = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory() || is_hidden(entry.path())) continue;
    ClassFolder one{entry.path().filename().string(), images_below(entry.path(), passed_over)};
    if (!one.files.empty()) {
      out.push_back(std::move(one));
    } else if (on_error == OnError::skip) {
      log::warning("the class folder {} has no images (.png, .jpg, .jpeg): there will be no such class",
                   entry.path().string());
    } else {
      fail(ExitCode::corrupt_input,
           "the class folder {} has no images (.png, .jpg, .jpeg): remove it, or --on-error skip",
           entry.path().string());
    }
  }
  std::ranges::sort(out, {}, &ClassFolder::name);
  if (passed_over > 0)
    log::info("{}: {} files do not end in .png, .jpg or .jpeg and were passed over", folder, passed_over);
  return out;
}

/// Labels by the names of `classes`.
std::vector<ImageFile> labelled(const std::vector<ClassFolder>& folders, const std::vector<std::string>& classes,
                                const std::string& where) {
  std::vector<ImageFile> out;
  for (const ClassFolder& folder : folders) {
    const auto found = std::ranges::find(classes, folder.name);
    if (found == classes.end())
      fail(ExitCode::corrupt_input, "{} has a class '{}' that the training images have not", where, folder.name);
    for (const std::string& file : folder.files)
      out.push_back({file, static_cast<std::int32_t>(found - classes.begin())});
  }
  return out;
}

/// A file on its way through a thread.
struct Job {
  ImageFile file = {};
  std::vector<std::uint8_t> pixels = {};
  std::string bytes = {};  ///< Of the file, where it is kept.
  Hash128 hash = {};
  std::string problem = {};  ///< Empty: none.
};

class Importer {
 public:
  explicit Importer(const ImagesImport& import) : import_(import) {}

  /// Decodes all; `take` gets them in order.
  void decode(const std::string& title, const std::vector<ImageFile>& files, const std::function<void(Job&)>& take) {
    Progress progress(title, static_cast<std::int64_t>(files.size()));
    const auto work = [this](Job& job) { load(job); };
    OrderedWork<Job> threads(std::vector<OrderedWork<Job>::Work>(static_cast<std::size_t>(import_.threads), work),
                             [&](Job& job) {
                               take(job);
                               progress.advance(1);
                             });
    for (const ImageFile& file : files) threads.give({.file = file});
    threads.finish();
  }

  /// The files that can be read; a warning for each of the others.
  std::vector<ImageFile> readable(const std::string& split, const std::vector<ImageFile>& files) {
    std::vector<ImageFile> out;
    LeftOut left_out(OnError::skip, "images of " + split);
    decode("checking " + split, files, [&](Job& job) {
      if (job.problem.empty()) {
        out.push_back(job.file);
      } else {
        left_out.add(job.problem);
      }
    });
    left_out.end();
    return out;
  }

  Json write(const std::string& split, const std::vector<ImageFile>& files, DatasetWriter& writer) {
    writer.begin_split(split, static_cast<std::int64_t>(files.size()));
    Hasher all;
    decode("importing " + split, files, [&](Job& job) {
      if (!job.problem.empty()) fail(ExitCode::corrupt_input, "{}", job.problem);
      const std::string hash = job.hash.hex();
      all.update(hash.data(), hash.size());
      const auto length = static_cast<std::int64_t>(job.bytes.size());
      const FieldBlock pixels{job.pixels.data()}, file{job.bytes.data(), {&length, 1}};
      const FieldBlock blocks[] = {keeps_files() ? file : pixels, {&job.file.label}};
      writer.append(1, blocks);
    });
    return {{"split", split}, {"files", files.size()}, {"xxh3_128_of_hashes", all.digest().hex()}};
  }

 private:
  void load(Job& job) const {
    try {
      std::string bytes = read_file(job.file.path, largest_file);
      job.hash = hash_text(bytes);
      const DecodedImage image = decode_image(bytes, import_.channels, job.file.path);
      if (keeps_files()) {
        job.bytes = std::move(bytes);
        return;
      }
      job.pixels = resize_image(image.view(), {.width = import_.width, .height = import_.height, .fit = import_.fit});
    } catch (const Error& error) {
      if (error.code() == ExitCode::usage) throw;  // a library is missing: no file of the kind can be read
      job.problem = error.what();
    }
  }

  bool keeps_files() const { return import_.keep == ImagesImport::Keep::files; }

  const ImagesImport& import_;
};

/// As many samples as make a shard of about 256 MiB.
std::int64_t shard_rows_for(const std::vector<ImageFile>& files) {
  constexpr std::int64_t shard_bytes = std::int64_t{256} << 20;
  std::int64_t bytes = 0;
  for (const ImageFile& file : files) {
    std::error_code gone;  // reported where it is read
    const auto size = fs::file_size(file.path, gone);
    if (!gone) bytes = checked_add(bytes, static_cast<std::int64_t>(size));
  }
  return std::max<std::int64_t>(1, shard_bytes / std::max<std::int64_t>(1, bytes / std::ssize(files)));
}

}  // namespace

DatasetIndex import_images(const ImagesImport& import) {
  require(import.threads >= 1 && import.height > 0 && import.width > 0,
          "importing images of {} x {} by {} threads: all must be positive", import.height, import.width,
          import.threads);
  const bool files = import.keep == ImagesImport::Keep::files;
  if (files && import.fit == Fit::stretch)
    fail(ExitCode::usage, "images that are kept encoded are cut to the middle, not stretched: import with --fit crop");
  struct Source {
    std::string split;
    std::vector<ImageFile> files;
  };
  const std::vector<ClassFolder> folders = scan(import.folder, import.on_error);
  std::vector<std::string> classes;
  for (const ClassFolder& folder : folders) classes.push_back(folder.name);
  if (classes.size() < 2)
    fail(ExitCode::corrupt_input, "{} has {} folder(s) with images; wanted one for each of at least two classes",
         import.folder, classes.size());
  std::vector<Source> sources{{"train", labelled(folders, classes, import.folder)}};
  if (!import.test_folder.empty())
    sources.push_back({"test", labelled(scan(import.test_folder, import.on_error), classes, import.test_folder)});
  Importer importer(import);
  for (Source& source : sources) {
    if (import.on_error == OnError::skip) source.files = importer.readable(source.split, source.files);
    if (source.files.empty()) fail(ExitCode::corrupt_input, "no image of the split {} can be used", source.split);
  }
  DatasetWriter writer(
      {.folder = import.out,
       .name = import.name,
       .fields = {{"image", DType::u8, Shape{import.height, import.width, import.channels},
                   files ? FieldSpec::Layout::encoded : FieldSpec::Layout::fixed},
                  {"label", DType::i32, Shape{}}},
       .class_names = classes,
       .shard_rows = files && import.shard_rows == 0 ? shard_rows_for(sources.front().files) : import.shard_rows,
       .compress = import.compress,
       .existing = import.existing});
  Json said = Json::array();
  for (const Source& source : sources) said.push_back(importer.write(source.split, source.files, writer));
  return writer.finish({{"importer", "images"}, {"date", utc_now()}, {"sources", said}});
}

}  // namespace trireme
