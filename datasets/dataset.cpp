#include "datasets/dataset.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "core/io/hdf5.hpp"

namespace trireme {
namespace {

/// Throws unless a shard's own header says what the index says about it.
void check_header(const hdf5::File& file, const std::string& split, std::int64_t count) {
  const std::string advice = "; import the data set again";
  if (!file.has_attribute("/", "format") || file.read_string("/", "format") != shard_format) {
    fail(ExitCode::corrupt_input,
         "{} is an HDF5 file, but not a shard of a data set (its format attribute is not \"{}\"){}", file.path(),
         shard_format, advice);
  }
  const std::int64_t version = file.read_i64("/", "version");
  if (version != dataset_version) {
    fail(ExitCode::corrupt_input, "{} has shard version {}, this program reads version {}{}", file.path(), version,
         dataset_version, advice);
  }
  const std::int64_t found = file.read_i64("/", "count");
  const std::string found_split = file.read_string("/", "split");
  if (found != count || found_split != split) {
    fail(ExitCode::corrupt_input, "{} holds {} samples of '{}', the index says {} of '{}'{}", file.path(), found,
         found_split, count, split, advice);
  }
}

/// Throws unless dataset `name` is (count, row...) of `dtype`; count -1 is any. Returns the count.
std::int64_t check_dataset(const hdf5::File& file, const FieldSpec& want, std::int64_t count) {
  const auto info = file.info(want.name);
  const bool fits = info.shape.dims() == want.row.dims() + 1 && info.dtype == want.dtype &&
                    info.shape.tail() == want.row && (count < 0 || info.shape[0] == count);
  if (!fits) {
    fail(ExitCode::corrupt_input, "'{}' of {} is {} {}, the index says {} rows of {} {}", want.name, file.path(),
         name_of(info.dtype), info.shape.text(), count < 0 ? "any number of" : std::to_string(count),
         name_of(want.dtype), want.row.text());
  }
  return info.shape[0];
}

std::int64_t load_offset(const std::byte* offsets, std::int64_t i) {
  std::int64_t value = 0;
  std::memcpy(&value, offsets + i * 8, 8);
  return value;
}

}  // namespace

Split::Split(const std::string& folder, const DatasetIndex& index, const SplitEntry& entry)
    : name_(entry.name), fingerprint_(index.fingerprint()), fields_(index.fields), class_names_(index.class_names) {
  if (entry.count <= 0) {
    fail(ExitCode::corrupt_input, "the split '{}' of {} is empty: there is nothing to read", name_, folder);
  }
  for (const auto& shard : entry.shards) open_shard(folder + "/" + shard.file, shard);
  stride_ = shards_.front().count;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const bool last = i + 1 == shards_.size();
    if (last ? shards_[i].count > stride_ : shards_[i].count != stride_) {
      stride_ = 0;
      break;
    }
  }
}

void Split::open_shard(const std::string& path, const ShardEntry& entry) {
  const std::size_t bytes = file_bytes(path);
  if (bytes != to_size(entry.bytes)) {
    fail(ExitCode::corrupt_input,
         "{} has {} bytes, the index says {}: it was cut off or changed; import the data set again", path, bytes,
         entry.bytes);
  }
  hdf5::File file = hdf5::File::open(path);
  check_header(file, name_, entry.count);
  Shard shard{.first = count_, .count = entry.count, .map = {}, .columns = {}};
  std::vector<std::int64_t> data_at, offsets_at;
  for (const auto& field : fields_) {
    const std::int64_t elements = check_dataset(file, field, field.ragged() ? -1 : entry.count);
    shard.columns.push_back({nullptr, nullptr, field.row_bytes(), elements});
    data_at.push_back(file.contiguous_offset(field.name));
    offsets_at.push_back(0);
    if (!field.ragged()) continue;
    check_dataset(file, {field.offsets_name(), DType::i64, Shape{}, FieldSpec::Layout::fixed}, entry.count + 1);
    offsets_at.back() = file.contiguous_offset(field.offsets_name());
  }
  file.close();
  shard.map = MappedFile(path, bytes);
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    shard.columns[f].data = shard.map.data() + data_at[f];
    shard.columns[f].offsets = shard.map.data() + offsets_at[f];
  }
  count_ += entry.count;
  shards_.push_back(std::move(shard));
}

const Split::Shard& Split::search(std::int64_t row) const {
  const auto after = std::upper_bound(shards_.begin(), shards_.end(), row,
                                      [](std::int64_t value, const Shard& shard) { return value < shard.first; });
  return *std::prev(after);
}

int Split::field_index(std::string_view name) const {
  std::vector<std::string> names;
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    if (fields_[f].name == name) return static_cast<int>(f);
    names.push_back(fields_[f].name);
  }
  fail(ExitCode::usage, "the data set has no field '{}'; its fields are: {}", name, fmt::join(names, ", "));
}

RaggedRow Split::ragged(int field, std::int64_t row) const {
  const Shard& shard = shard_of(row);
  const Column& column = shard.columns[static_cast<std::size_t>(field)];
  require(fields_[static_cast<std::size_t>(field)].ragged(), "field '{}' is not ragged",
          fields_[static_cast<std::size_t>(field)].name);
  const std::int64_t begin = load_offset(column.offsets, row - shard.first);
  const std::int64_t end = load_offset(column.offsets, row - shard.first + 1);
  if (begin < 0 || end < begin || end > column.elements) {
    fail(ExitCode::corrupt_input,
         "sample {} of split '{}' has elements [{}, {}) of {}: the shard is damaged; run "
         "`trireme data verify`",
         row, name_, begin, end, column.elements);
  }
  return {column.data + begin * column.row_bytes, end - begin};
}

SubsetView::SubsetView(std::shared_ptr<const Split> split) : split_(std::move(split)), count_(split_->count()) {}

void SubsetView::resolve(std::span<std::int64_t> places) const {
  if (!permutation_) return;
  for (auto& place : places) place += first_;
  permutation_->map(places);
}

TrainValidation::TrainValidation(const SubsetView& all, double fraction, std::uint64_t seed)
    : train(all), validation(all) {
  if (!(fraction >= 0 && fraction < 1)) {
    fail(ExitCode::usage, "a validation part of {} is not in [0, 1)", fraction);
  }
  require(!all.permutation_, "a part of a split cannot be divided again");
  const auto held = static_cast<std::int64_t>(std::floor(static_cast<double>(all.count()) * fraction));
  if (fraction > 0 && (held == 0 || held == all.count())) {
    fail(ExitCode::usage, "a validation part of {} of {} samples leaves one part empty", fraction, all.count());
  }
  const Permutation shuffle(all.count(), random_key("validation", seed), 0);
  for (SubsetView* view : {&train, &validation}) view->permutation_ = shuffle;
  validation.count_ = held;
  train.first_ = held;
  train.count_ = all.count() - held;
}

Dataset Dataset::open(const std::string& folder) {
  Dataset dataset;
  dataset.folder_ = folder;
  dataset.index_ = DatasetIndex::read(folder);
  return dataset;
}

bool Dataset::has_split(std::string_view name) const {
  return std::ranges::any_of(index_.splits, [&](const SplitEntry& split) { return split.name == name; });
}

std::shared_ptr<const Split> Dataset::split(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& entry : index_.splits) {
    if (entry.name == name) return std::make_shared<const Split>(folder_, index_, entry);
    names.push_back(entry.name);
  }
  fail(ExitCode::usage, "the data set {} has no split '{}'; it has: {}", folder_, name,
       names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace trireme
