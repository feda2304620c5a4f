#include "datasets/batch_filler.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/base/profile.hpp"
#include "core/base/random.hpp"

namespace trireme::detail {
namespace {

/// How many rows ahead memory is asked for: far enough to cover a cache miss, near enough to still be there.
constexpr std::size_t rows_ahead = 4;
constexpr std::size_t cache_line = 64;
constexpr std::size_t longest_prefetch = 1024;  // beyond it the processor's own prefetcher has caught up

void prefetch(const std::byte* data, std::size_t bytes) {
  for (std::size_t at = 0; at < std::min(bytes, longest_prefetch); at += cache_line) __builtin_prefetch(data + at);
}

Shape batch_shape(std::int64_t rows, const Shape& row) {
  std::vector<std::int64_t> extents{rows};
  extents.insert(extents.end(), row.extents().begin(), row.extents().end());
  return Shape(std::span<const std::int64_t>(extents));
}

Samples checked_samples(Samples samples) {
  if (!samples) fail(ExitCode::corrupt_input, "a loader of no samples: the data set, or this part of it, is empty");
  return samples;
}

LoaderOptions checked_options(LoaderOptions options) {
  const auto positive = [](const char* what, std::int64_t value, std::int64_t least) {
    if (value < least) fail(ExitCode::usage, "a loader with {} = {}: it must be at least {}", what, value, least);
  };
  positive("batch", options.batch, 1);
  positive("threads", options.threads, 0);
  positive("depth", options.depth, 1);
  positive("held", options.held, 1);
  return options;
}

}  // namespace

BatchPlan::BatchPlan(Samples samples, LoaderOptions options)
    : samples_(checked_samples(std::move(samples))),
      options_(checked_options(std::move(options))),
      sampler_({.parts = samples_->parts(),
                .seed = options_.seed,
                .order = options_.pass == Pass::train ? options_.order : Order::sequential,
                .blocks = options_.blocks}) {
  if (options_.pass == Pass::train) {
    global_batch_ = options_.batch;
  } else {
    global_batch_ = round_up(std::max<std::int64_t>(options_.batch, options_.parts), options_.parts);
  }
  rows_ = part_rows(global_batch_, options_.part, options_.parts);
  auto names = options_.fields;
  if (names.empty()) {
    for (const auto& field : samples_->sample_fields()) names.push_back(field.name);
  }
  for (const auto& name : names) add_column(name);
  for (const auto& transforms : options_.transforms) place_of(transforms.field);
  if (options_.mixing.any() && options_.pass == Pass::train) add_pairs();
}

void BatchPlan::add_pairs() {
  const auto image = to_size(place_of(options_.mixing.image)), label = to_size(place_of(options_.mixing.label));
  const auto type_of = [&](std::size_t column) {
    return TransformChain(columns_[column].list, columns_[column].in).output();
  };
  if (const RowType type = type_of(label); type.dtype != DType::i32 || type.shape.elements() != 1)
    fail(ExitCode::usage, "mixup and cutmix want one i32 as label, the field {} is {} {}", options_.mixing.label,
         name_of(type.dtype), type.shape.text());
  pairs_ = Pairs{.mixer = PairMixer(options_.mixing, options_.seed, type_of(image)),
                 .image = image,
                 .label = label,
                 .label2 = names_.size(),
                 .weight = names_.size() + 1,
                 .weight2 = names_.size() + 2};
  names_.insert(names_.end(), {"label2", "label_weight", "label2_weight"});
}

void BatchPlan::add_column(const std::string& name) {
  const int index = samples_->sample_field(name);
  Column column{.field = index, .in = samples_->sample_fields()[to_size(index)].type, .list = {}};
  for (const auto& transforms : options_.transforms) {
    if (transforms.field == name) column.list = transforms.list;
  }
  TransformChain(column.list, column.in);  // reports a transform that does not fit here and not in a thread
  columns_.push_back(std::move(column));
  names_.push_back(name);
}

bool BatchPlan::past_end(std::uint64_t ticket) const {
  return options_.pass == Pass::evaluate && position_of(ticket) >= static_cast<std::uint64_t>(samples_->count());
}

int BatchPlan::place_of(std::string_view field) const {
  const auto found = std::ranges::find(names_, field);
  if (found == names_.end()) {
    fail(ExitCode::usage, "the loader does not load a field '{}'; it loads: {}", field, fmt::join(names_, ", "));
  }
  return static_cast<int>(found - names_.begin());
}

LoaderSlot BatchPlan::make_slot(Allocator& memory) const {
  const auto make = [&](const Shape& shape, DType dtype) {
    const auto bytes = to_size(checked_mul(shape.elements(), static_cast<std::int64_t>(size_of(dtype))));
    return Tensor(memory.allocate(bytes), 0, shape, dtype);
  };
  LoaderSlot slot;
  for (const Column& column : columns_) {
    const RowType out = TransformChain(column.list, column.in).output();
    slot.fields.push_back(make(batch_shape(rows_.count, out.shape), out.dtype));
  }
  if (pairs_)
    for (const DType dtype : {DType::i32, DType::f32, DType::f32})
      slot.fields.push_back(make(Shape{rows_.count}, dtype));
  slot.weight = make(Shape{rows_.count}, DType::f32);
  return slot;
}

BatchFiller::BatchFiller(const BatchPlan& plan) : plan_(plan), seed_(random_key("augment", plan.options().seed)) {
  for (const auto& column : plan.columns()) chains_.emplace_back(column.list, column.in);
  if (!plan.pairs()) return;
  for (const TransformChain& chain : chains_) {
    const std::vector<std::byte> row(chain.output().bytes());
    beside_.push_back({row, row});
  }
}

void BatchFiller::fill(std::uint64_t ticket, LoaderSlot& slot, const std::atomic<bool>& stop) {
  const ProfileSpan span("fill batch", ProfileSpan::Kind::data);
  choose_rows(ticket, slot);
  for (std::size_t c = 0; c < chains_.size(); ++c) fill_column(c, slot, stop);
  if (plan_.pairs()) mix_pairs(slot, stop);
}

void BatchFiller::choose_rows(std::uint64_t ticket, LoaderSlot& slot) {
  slot.first_position = plan_.position_of(ticket);
  slot.first_row_position = slot.first_position + static_cast<std::uint64_t>(plan_.rows().first);
  float* const weight = slot.weight.data<float>();
  const std::size_t count = to_size(plan_.rows().count);
  std::fill_n(weight, count, 1.0f);
  // Whole pairs: positions 2k and 2k + 1.
  const bool pairs = plan_.pairs() && count > 0;
  lead_ = pairs ? slot.first_row_position % 2 : 0;
  samples_.resize(lead_ + count + (pairs ? (lead_ + count) % 2 : 0));
  rows_.resize(samples_.size());
  lengths_.resize(samples_.size());
  plan_.sampler().fill(slot.first_row_position - lead_, samples_);
  if (plan_.options().pass == Pass::evaluate) {
    const auto n = static_cast<std::uint64_t>(plan_.samples().count());
    const std::uint64_t left = n > slot.first_row_position ? n - slot.first_row_position : 0;
    for (std::size_t i = std::min<std::uint64_t>(left, samples_.size()); i < samples_.size(); ++i) {
      samples_[i] = no_sample;
      weight[i] = 0;
    }
  }
  plan_.samples().resolve(samples_);
}

/// Rows that a source makes go straight into the batch where nothing is to be done to them.
std::byte* BatchFiller::room_for(std::size_t column, std::byte* out) {
  if (!plan_.samples().makes_rows()) return nullptr;
  const auto& [field, in, list] = plan_.columns()[column];
  if (list.empty() && std::ssize(samples_) == plan_.rows().count) return out;
  made_.resize(samples_.size() * in.bytes());
  return made_.data();
}

void BatchFiller::transform_row(std::size_t column, std::size_t row, std::byte* out, std::uint64_t position) {
  const std::span<const std::byte> in(rows_[row], to_size(lengths_[row]));
  const SampleKey key{.seed = seed_, .position = position, .place = 0};
  if (!plan_.columns()[column].in.encoded()) return chains_[column].apply(in, out, key);
  try {
    chains_[column].apply(in, out, key);
  } catch (const Error& error) {
    fail(error.code(), "sample {} of split '{}': {}; `trireme data verify` looks at all of them", samples_[row],
         plan_.samples().name(), error.what());
  }
}

void BatchFiller::fill_column(std::size_t column, LoaderSlot& slot, const std::atomic<bool>& stop) {
  const RowType& in = plan_.columns()[column].in;
  const std::size_t in_bytes = in.bytes(), out_bytes = chains_[column].output().bytes();
  const bool copies = plan_.columns()[column].list.empty() && !in.encoded();
  auto* const rows = static_cast<std::byte*>(slot.fields[column].raw());
  std::ranges::fill(lengths_, static_cast<std::int64_t>(in_bytes));
  plan_.samples().rows({.field = plan_.columns()[column].field,
                        .samples = samples_,
                        .rows = rows_,
                        .lengths = lengths_,
                        .room = room_for(column, rows)});
  const auto fetch = [&](std::size_t row) { prefetch(rows_[row], to_size(lengths_[row])); };
  for (std::size_t i = 0; i < std::min(rows_ahead, samples_.size()); ++i) fetch(i);
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    std::byte* const out = plan_.pairs() ? place_of(column, slot, i) : rows + i * out_bytes;
    if (i + rows_ahead < samples_.size()) fetch(i + rows_ahead);
    if (copies && rows_[i] != out) {
      std::memcpy(out, rows_[i], in_bytes);
    } else if (!copies) {
      transform_row(column, i, out, slot.first_row_position - lead_ + i);
    }
    if (stop.load(std::memory_order_relaxed)) return;
  }
}

/// Only where samples are mixed: others have no rows beside the slot.
std::byte* BatchFiller::place_of(std::size_t column, LoaderSlot& slot, std::size_t row) {
  const std::size_t count = to_size(plan_.rows().count);
  if (row < lead_) return beside_[column][0].data();
  if (row >= lead_ + count) return beside_[column][1].data();
  return static_cast<std::byte*>(slot.fields[column].raw()) + (row - lead_) * chains_[column].output().bytes();
}

void BatchFiller::mix_pairs(LoaderSlot& slot, const std::atomic<bool>& stop) {
  const BatchPlan::Pairs& pairs = *plan_.pairs();
  const std::size_t count = to_size(plan_.rows().count);
  unmixed_.resize(chains_[pairs.image].output().bytes());
  for (std::size_t first = 0; first < samples_.size() && !stop.load(std::memory_order_relaxed); first += 2) {
    std::byte* const images[2] = {place_of(pairs.image, slot, first), place_of(pairs.image, slot, first + 1)};
    std::memcpy(unmixed_.data(), images[0], unmixed_.size());
    for (const std::size_t which : {std::size_t{0}, std::size_t{1}}) {
      const PairShare share = pairs.mixer.share_of(slot.first_row_position - lead_ + first + which);
      pairs.mixer.mix(share, images[which], which == 0 ? images[1] : unmixed_.data());
      const std::size_t row = first + which - lead_;
      if (row >= count) continue;  // the neighbour is another part's
      std::memcpy(slot.fields[pairs.label2].data<std::int32_t>() + row, place_of(pairs.label, slot, first + 1 - which),
                  sizeof(std::int32_t));
      slot.fields[pairs.weight].data<float>()[row] = static_cast<float>(share.own);
      slot.fields[pairs.weight2].data<float>()[row] = static_cast<float>(1 - share.own);
    }
  }
}

}  // namespace trireme::detail
