#include "launcher/job/data_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "datasets/import_cifar.hpp"
#include "datasets/import_idx.hpp"
#include "datasets/import_images.hpp"
#include "datasets/import_rdb.hpp"
#include "datasets/shapes.hpp"
#include "datasets/summary.hpp"
#include "datasets/verify.hpp"
#include "launcher/job/data_lines.hpp"
#include "launcher/job/data_order.hpp"
#include "launcher/job/data_tables.hpp"
#include "launcher/job/data_target.hpp"
#include "launcher/job/data_text.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

using Words = std::span<const std::string>;

const Operands one_folder{.words = "DIR", .description = "the folder of the data set"};

int import_rdb_command(Words args) {
  constexpr const char* name = "trireme data import rdb";
  RdbImport import;
  std::int64_t least = static_cast<std::int64_t>(import.least_lines);
  CommandLine line(
      {.name = name,
       .summary = "writes the character vectors of an R package's Rdata.rdb as text files",
       .examples = {"trireme data import rdb janeaustenr/data/Rdata.rdb --out data/austen-text"}},
      {.words = "FILE", .description = "Rdata.rdb in the folder data of an installed or unpacked package"});
  line.options()
      .add("out", &import.folder, "folder for the texts; appears whole or not at all; must be given")
      .add("least-lines", &least, "vectors of fewer elements are passed over", {.low = 1});
  const auto found = line.parse(args);
  if (!found) return 0;
  needed(name, "out", import.folder);
  import.file = found->front();
  import.least_lines = static_cast<std::size_t>(least);
  for (const UnpackedText& text : import_rdb(import)) print_out(fmt::format("{} {}\n", text.name, text.bytes));
  return 0;
}

int import_idx_command(Words args) {
  constexpr const char* name = "trireme data import idx";
  IdxImport import;
  DataTarget target;
  std::string classes;
  CommandLine line({.name = name,
                    .summary = "makes a data set from files in the IDX format, plain or gzip-compressed",
                    .examples = {"trireme data import idx --images train-images.gz --labels train-labels.gz --out "
                                 "data/mine"}},
                   {.words = "", .description = "", .count = 0});
  line.options()
      .add("images", &import.images, "training images, u8 (count, H, W) or (count, H, W, C); must be given")
      .add("labels", &import.labels, "training labels, u8 (count); must be given")
      .add("test-images", &import.test_images, "test images; become the split \"test\"")
      .add("test-labels", &import.test_labels, "test labels")
      .add("classes", &classes, "class names in label order, A,B,C; empty: 0, 1, ... up to the largest training label");
  target.declare(line.options());
  if (!line.parse(args)) return 0;
  needed(name, "images", import.images);
  needed(name, "labels", import.labels);
  needed(name, "out", target.out);
  target.give(import);
  import.classes = list_of_names(name, "classes", classes);
  import_idx(import);
  return made(target.out);
}

int import_cifar_command(Words args) {
  constexpr const char* name = "trireme data import cifar";
  CifarImport import;
  DataTarget target;
  std::string test, classes;
  CommandLine line({.name = name,
                    .summary = "makes a data set from CIFAR-10 or CIFAR-100 in their binary form",
                    .examples = {"trireme data import cifar cifar-10-batches-bin --out data/cifar-10",
                                 "trireme data import cifar a.bin b.bin --test test.bin --out data/cifar-10"}},
                   {.words = "FOLDER | FILE...",
                    .description = "the unpacked folder, or the files of the split train",
                    .more = Operands::More::taken});
  line.options()
      .add("test", &test, "file of the split test; with a folder its own")
      .add("labels", &import.labels, "which of the two labels of CIFAR-100",
           {{"fine", CifarImport::Labels::fine}, {"coarse", CifarImport::Labels::coarse}})
      .add("classes", &classes, "class names in label order, A,B,C; empty: those of the folder, else numbers");
  target.declare(line.options());
  const auto found = line.parse(args);
  if (!found) return 0;
  needed(name, "out", target.out);
  import.sources = *found;
  if (!test.empty()) import.test_sources = {test};
  target.give(import);
  import.classes = list_of_names(name, "classes", classes);
  import_cifar(import);
  return made(target.out);
}

int import_images_command(Words args) {
  constexpr const char* name = "trireme data import images";
  ImagesImport import;
  DataTarget target;
  std::vector<std::int64_t> size{224, 224};
  std::int64_t threads = std::max(1u, std::thread::hardware_concurrency());
  bool grey = false, keep_encoded = false;
  CommandLine line(
      {.name = name,
       .summary = "makes a data set from PNG and JPEG files, a folder for each class",
       .examples = {"trireme data import images photos/train --test photos/test --size 64 --out data/photos",
                    "trireme data import images scans --grey --size 32,128 --fit stretch --out data/scans"}},
      {.words = "FOLDER", .description = "with a folder of images for each class"});
  line.options()
      .add("test", &import.test_folder, "the same for the split test")
      .add("size", &size, "height and width of all images in pixels; one number: both")
      .add("fit", &import.fit, "crop: scale until the shorter side fits, take the middle; stretch: scale both sides",
           {{"crop", Fit::crop}, {"stretch", Fit::stretch}})
      .add("grey", &grey, "one channel in place of three")
      .add("keep-encoded", &keep_encoded, "store the files as they are; they are decoded while training")
      .add("on-error", &import.on_error, "at a file that is no whole image, and at a class without images",
           {{"stop", OnError::stop}, {"skip", OnError::skip}})
      .add("threads", &threads, "threads that decode", {.low = 1, .high = 1024});
  target.declare(line.options());
  const auto found = line.parse(args);
  if (!found) return 0;
  needed(name, "out", target.out);
  if (size.empty() || size.size() > 2)
    fail(ExitCode::usage, "{}: --size takes one or two numbers, found {}", name, size.size());
  import.folder = found->front();
  import.height = size.front();
  import.width = size.back();
  import.channels = grey ? 1 : 3;
  if (keep_encoded) import.keep = ImagesImport::Keep::files;
  import.threads = static_cast<int>(threads);
  target.give(import);
  import_images(import);
  return made(target.out);
}

int generate_shapes_command(Words args) {
  constexpr const char* name = "trireme data generate shapes";
  ShapesOptions shapes;
  DataTarget target;
  auto seed = static_cast<std::int64_t>(shapes.seed);
  CommandLine line({.name = name,
                    .summary = "draws images of ten kinds of shapes, the same for the same seed",
                    .examples = {"trireme data generate shapes --out data/shapes --count 1000 --test-count 200"}},
                   {.words = "", .description = "", .count = 0});
  line.options()
      .add("count", &shapes.count, "training images", {.low = 1})
      .add("test-count", &shapes.test_count, "test images; 0: no split \"test\"", {.low = 0})
      .add("seed", &seed, "draws other images", {.low = 0})
      .add("size", &shapes.size, "height and width in pixels", {.low = 8, .high = 4096})
      .add("noise", &shapes.noise, "disturbance of pixels", {.low = 0, .high = 1});
  target.declare(line.options());
  if (!line.parse(args)) return 0;
  needed(name, "out", target.out);
  target.give(shapes);
  shapes.seed = static_cast<std::uint64_t>(seed);
  generate_shapes(shapes);
  return made(target.out);
}

int import_command(Words args) {
  return run_sub_command(
      {.name = "trireme data import",
       .summary = "makes a data set from files of a foreign format",
       .commands = {{"cifar", "CIFAR-10 and CIFAR-100", import_cifar_command},
                    {"csv", "tables as text (CSV)", import_csv_command},
                    {"images", "PNG and JPEG files, a folder for each class", import_images_command},
                    {"idx", "images and labels in the IDX format (MNIST, Fashion-MNIST)", import_idx_command},
                    {"lines", "lines of text with a class each", import_lines_command},
                    {"npy", "arrays of NumPy (.npy)", import_npy_command},
                    {"rdb", "texts in the data of an R package (janeaustenr)", import_rdb_command}}},
      args);
}

int draw_command(Words args) {
  return run_sub_command({.name = "trireme data generate",
                          .summary = "draws a data set",
                          .commands = {{"names", "names in made-up languages", generate_names_command},
                                       {"shapes", "simple shapes in ten classes", generate_shapes_command}}},
                         args);
}

int info_command(Words args) {
  bool json = false;
  CommandLine line({.name = "trireme data info",
                    .summary = "fields, splits, classes, fingerprint and origin of a data set",
                    .examples = {"trireme data info data/fashion-mnist"}},
                   one_folder);
  line.options().add("json", &json, "print one JSON object");
  const auto words = line.parse(args);
  if (!words) return 0;
  const Dataset dataset = Dataset::open(words->front());
  if (json) {
    print_json(describe_json(dataset));
  } else {
    print_out(describe(dataset));
  }
  return 0;
}

int verify_command(Words args) {
  CommandLine line(
      {.name = "trireme data verify",
       .summary =
           "checks sizes, checksums, counts, labels, tokens and images of all shards; ends with 0 where everything "
           "is whole, else with 15, and names every bad shard",
       .examples = {"trireme data verify data/fashion-mnist"}},
      one_folder);
  const auto words = line.parse(args);
  if (!words) return 0;
  const std::string& folder = words->front();
  const VerifyReport report = verify_dataset(Dataset::open(folder));
  for (const auto& problem : report.problems) log::error("{}: {}", problem.file, problem.what);
  if (!report.problems.empty()) {
    log::error("{} is damaged: {} problems; import the data again", folder, report.problems.size());
    return static_cast<int>(ExitCode::corrupt_input);
  }
  print_out(fmt::format("{} is whole: {} samples in {} shards, {}\n", folder, report.samples, report.shards,
                        bytes_text(report.bytes)));
  return 0;
}

}  // namespace

int data_command(std::span<const std::string> args) {
  return run_sub_command({.name = "trireme data",
                          .summary = "data sets, each a folder with an index and HDF5 shards (docs/formats.md)",
                          .commands = {{"import", "make a data set from files of a foreign format", import_command},
                                       {"generate", "draw a data set", draw_command},
                                       {"tokenize", "make a token set of texts", tokenize_command},
                                       {"train-tokenizer", "make a tokenizer from texts", train_tokenizer_command},
                                       {"info", "what a data set holds", info_command},
                                       {"order", "which rank reads what at which step", data_order_command},
                                       {"verify", "check every byte of it", verify_command}}},
                         args);
}

}  // namespace trireme
