// Data set folders: the index and an HDF5 shard. The input changes a small valid data set: which one, whether the
// checksums are forged, then pieces of the shard and of the index that are replaced. Forged checksums bring the changes
// behind every check of the index and of the bytes around the arrays. An index of an older version has only the
// checksum of the whole file, which is never forged here: behind it lies HDF5, which dies of forged files
// (docs/formats.md).
#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "datasets/shard_file.hpp"
#include "datasets/summary.hpp"
#include "datasets/token_windows.hpp"
#include "datasets/tokenizer.hpp"
#include "datasets/tokenizer_model.hpp"
#include "datasets/verify.hpp"
#include "datasets/writer.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
constexpr int kinds = 6, token_set = 3, packed = 4, encoded = 5;
enum Flag : std::uint64_t { forged = 1, older = 2 };

/// A valid data set: its folder, and the bytes that a run changes.
struct Original {
  std::string folder, shard, index, older_index;
  std::string shard_path() const { return folder + "/train-00000.h5"; }
  std::string index_path() const { return folder + "/index.json"; }
};

std::vector<FieldSpec> fields_of(int kind) {
  if (kind == 0 || kind == packed) return {{"image", DType::u8, {2, 2, 1}}, {"label", DType::i32, {}}};
  if (kind == 1) return {{"tokens", DType::i32, {}, FieldSpec::Layout::ragged}, {"weight", DType::bf16, {2}}};
  if (kind == token_set) return {{TokenSetEntry::field, DType::u16, {}, FieldSpec::Layout::ragged}};
  if (kind == encoded) return {{"image", DType::u8, {2, 2, 1}, FieldSpec::Layout::encoded}, {"label", DType::i32, {}}};
  std::vector<FieldSpec> many;  // so many that HDF5 keeps their names in another form
  for (int i = 0; i < 9; ++i) many.push_back({fmt::format("f{}", i), DType::u8, {}});
  return many;
}

/// Less to read for every run.
std::string compact(const DatasetIndex& index) { return Json::parse(index.to_text()).dump(); }

Tokenizer small_tokenizer() {
  return Tokenizer({.kind = TokenizerModel::Kind::characters, .tokens = {"a", "b"}, .pattern = WordPattern::none});
}

std::optional<TokenSetEntry> tokens_of(int kind) {
  if (kind != token_set) return std::nullopt;
  return TokenSetEntry{.vocabulary = 2,
                       .end_of_text = 1,
                       .tokenizer = "tokenizer.json",
                       .tokenizer_hash = small_tokenizer().hash().hex()};
}

Original make(int kind) {
  Original original;
  original.folder = (fuzz::work_folder() / fmt::format("set{}", kind)).string();
  DatasetWriter writer({.folder = original.folder,
                        .fields = fields_of(kind),
                        .class_names = {"a", "b"},
                        .shard_rows = kind == 0 || kind == token_set ? 2 : 0,
                        .tokens = tokens_of(kind),
                        .compress = kind == packed ? 6 : 0});
  writer.add_file("tokenizer.json", small_tokenizer().to_text());
  writer.begin_split("train", 3);
  const std::vector<std::byte> zeros(64);
  const std::vector<std::int64_t> lengths = {2, 0, 1};
  std::vector<FieldBlock> blocks;
  for (const auto& field : fields_of(kind)) {
    blocks.push_back({zeros.data(), field.ragged() ? std::span(lengths) : std::span<const std::int64_t>()});
  }
  writer.append(3, blocks);
  DatasetIndex index = writer.finish({{"importer", "fuzz"}, {"date", "2026-01-31T12:00:00Z"}});
  original.shard = read_file(original.shard_path());
  // With the smaller shard in front a row's shard must be searched.
  std::ranges::reverse(index.splits.front().shards);
  original.index = compact(index);
  for (auto& shard : index.splits.front().shards) shard.arrays.clear();
  original.older_index = compact(index);
  return original;
}

const Original& original_of(std::uint64_t kind) {
  static const std::vector<Original> all = {make(0), make(1), make(2), make(token_set), make(packed), make(encoded)};
  return all[kind % kinds];
}

/// Replaces a piece of `text`. What is put there may be repeated: nests of brackets are found no other way.
void splice(fuzz::Input& input, std::string& text) {
  constexpr std::uint64_t most = 1 << 16;
  const std::size_t at = input.number(2) % (text.size() + 1), erased = input.number(1);
  const std::uint64_t length = input.number(1), repeat = input.number(1);
  const std::string_view piece = input.text(length);
  std::string put(piece);
  for (std::uint64_t i = 0; i < repeat * repeat && put.size() + piece.size() < most; ++i) put += piece;
  text.replace(at, erased, put);
}

std::string splice_bytes(std::size_t at, std::size_t erased, std::string_view put, std::uint8_t repeat = 0) {
  std::string out;
  for (const std::size_t n : {at >> 8, at, erased, put.size(), std::size_t{repeat}}) out += static_cast<char>(n);
  return out.append(put);
}

/// Reads every byte of every sample.
unsigned read_all(const Split& split) {
  unsigned sum = 0;
  for (std::size_t f = 0; f < split.fields().size(); ++f) {
    const FieldSpec& field = split.fields()[f];
    for (std::int64_t row = 0; row < split.count(); ++row) {
      RaggedRow value{nullptr, 1};
      std::vector<std::byte> copied;
      if (field.ragged()) {
        value = split.ragged(static_cast<int>(f), row);
      } else {
        copied.resize(to_size(field.row_bytes()));
        split.copy_row(static_cast<int>(f), row, copied.data());
        value.data = copied.data();
      }
      for (std::int64_t i = 0; i < value.elements * field.row_bytes(); ++i)
        sum += std::to_integer<unsigned>(value.data[i]);
    }
  }
  return sum;
}

/// Reads all windows of tokens; their labels and beginnings are what they may be.
void read_windows(const std::shared_ptr<const Split>& split) {
  constexpr std::int64_t context = 2;
  const Samples samples = token_windows(split, {.context = context,
                                                .documents = TokenWindowOptions::Documents::apart,
                                                .starts = TokenWindowOptions::Starts::with});
  std::int32_t row[context];
  for (std::int64_t sample = 0; sample < std::min<std::int64_t>(samples->count(), 1000); ++sample) {
    for (int field = 0; field < 3; ++field) {
      const std::byte* where = nullptr;
      samples->rows(
          {.field = field, .samples = {&sample, 1}, .rows = {&where, 1}, .room = reinterpret_cast<std::byte*>(row)});
      for (const std::int32_t value : row) {
        const std::int64_t end = field == 2 ? context : split->tokens()->vocabulary;
        fuzz::demand(value < end && value >= (field == 1 ? ignored_label : 0), "values of windows are in their range");
      }
    }
  }
}

void use(const Dataset& dataset) {
  static volatile unsigned sink;
  for (const auto& split : dataset.index().splits) {
    fuzz::takes([&] {
      const auto opened = dataset.split(split.name);
      sink = read_all(*opened);
      if (opened->tokens()) read_windows(opened);
    });
  }
}

/// Makes all checksums of the index those of the files.
DatasetIndex forge(const Dataset& dataset) {
  DatasetIndex index = dataset.index();
  for (auto& split : index.splits) {
    for (auto& shard : split.shards) {
      if (shard.arrays.empty()) continue;
      fuzz::takes([&] {
        const std::string path = dataset.folder() + "/" + shard.file;
        const MappedFile map(path, file_bytes(path));
        shard.bytes = static_cast<std::int64_t>(map.size());
        shard.structure = structure_of(map, shard.arrays, path).hex();
        shard.checksum = hash_bytes(map.data(), map.size()).hex();
        for (auto& array : shard.arrays) {
          fuzz::takes([&] { array.checksum = hash_elements(map, array, path).hex(); });
        }
      });
    }
  }
  return index;
}

void check_taken(const Dataset& dataset) {
  const std::string text = dataset.index().to_text();
  fuzz::write_file(dataset.folder() + "/index.json", text);
  Dataset again;
  fuzz::demand(fuzz::takes([&] { again = Dataset::open(dataset.folder()); }), "an index that was taken can be written");
  fuzz::demand(again.index().to_text() == text, "an index comes back as it was written");
  fuzz::takes([&] { describe(dataset), describe_json(dataset); });
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  std::vector<std::string> out;
  for (char kind = 0; kind < kinds; ++kind) {
    const Original& original = original_of(static_cast<std::uint64_t>(kind));
    for (const char flags : {0, 1, 2}) {
      const std::string head = {kind, flags};
      out.push_back(head + '\0');
      for (std::size_t at = 0; at < original.shard.size(); at += 97) {
        out.push_back(head + '\1' + splice_bytes(at, 1, "\1"));
      }
    }
    const std::string head = {kind, static_cast<char>(forged), '\0'};
    for (const char* key :
         {"\"offset\":", "\"chunk_rows\":", "\"chunks\":[[", "\"count\":", "\"bytes\":", "\"shape\":["}) {
      for (std::size_t at = original.index.find(key); at != std::string::npos; at = original.index.find(key, at + 1)) {
        const std::size_t value = original.index.find_first_of("0123456789", at);
        for (const char* other : {"-1", "1e300", "9223372036854775807", "1"}) {
          out.push_back(head + splice_bytes(value, 1, other));
        }
      }
    }
    const std::size_t provenance = original.index.find("{", original.index.find("\"provenance\""));
    out.push_back(head + splice_bytes(provenance + 1, 0, "\"deep\": ") + splice_bytes(provenance + 9, 0, "[", 255));
  }
  return out;
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const Original& original = original_of(input.number(1));
  const std::uint64_t flags = input.number(1), changes = input.number(1) % 8;
  std::string shard = original.shard, index = (flags & older) != 0 ? original.older_index : original.index;
  for (std::uint64_t i = 0; i < changes && !input.empty(); ++i) splice(input, shard);
  const bool index_changed = !input.empty();
  while (!input.empty()) splice(input, index);
  fuzz::write_file(original.shard_path(), shard);
  fuzz::write_file(original.index_path(), index);
  Dataset dataset;
  if (!fuzz::takes([&] { dataset = Dataset::open(original.folder); })) return 0;
  if (index_changed) check_taken(dataset);
  if ((flags & forged) != 0) {
    fuzz::write_file(original.index_path(), forge(dataset).to_text());
    if (!fuzz::takes([&] { dataset = Dataset::open(original.folder); })) return 0;
  }
  use(dataset);
  const bool clean = verify_dataset(dataset).problems.empty();
  fuzz::demand(!clean || index_changed || (flags & forged) != 0 || shard == original.shard,
               "verify finds every changed byte");
  return 0;
}
