#include "datasets/sample_source.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "core/io/hash.hpp"
#include "datasets/permutation.hpp"

namespace trireme {
namespace {

/// The samples [first, first + count) of a source in a random order.
class Part : public SampleSource {
 public:
  struct Range {
    std::int64_t first, count;
  };
  Part(Samples all, const Permutation& order, const Range& range)
      : all_(std::move(all)), order_(order), range_(range) {}

  const std::string& name() const override { return all_->name(); }
  const std::string& fingerprint() const override { return all_->fingerprint(); }
  std::int64_t count() const override { return range_.count; }
  const std::vector<SampleField>& sample_fields() const override { return all_->sample_fields(); }
  const std::vector<std::string>& class_names() const override { return all_->class_names(); }
  int sample_field(std::string_view name) const override { return all_->sample_field(name); }
  bool makes_rows() const override { return all_->makes_rows(); }
  void rows(const RowRequest& request) const override { all_->rows(request); }

  void resolve(std::span<std::int64_t> samples) const override {
    // Filling stands at the end.
    std::size_t known = 0;
    while (known < samples.size() && samples[known] != no_sample) samples[known++] += range_.first;
    order_.map(samples.first(known));
    all_->resolve(samples);
  }

 private:
  Samples all_;
  Permutation order_;
  Range range_;
};

class Mix : public SampleSource {
 public:
  explicit Mix(std::vector<Ingredient> ingredients) : ingredients_(std::move(ingredients)) {
    if (ingredients_.empty()) fail(ExitCode::usage, "a mix of no sources: give at least one");
    std::string told;
    for (const auto& one : ingredients_) {
      require(one.samples != nullptr, "a source of the mix is missing");
      if (one.samples->parts().size() != 1) fail(ExitCode::usage, "a mix cannot be a part of another mix");
      check_fields(one);
      check_classes(one);
      first_.push_back(count_);
      count_ = checked_add(count_, one.samples->count());
      makes_rows_ = makes_rows_ || one.samples->makes_rows();
      name_ += (name_.empty() ? "" : " + ") + one.samples->name();
      told += fmt::format("{} {} {}\n", one.samples->fingerprint(), one.samples->count(), one.weight);
    }
    fingerprint_ = hash_text(told).hex();
  }

  const std::string& name() const override { return name_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::int64_t count() const override { return count_; }
  const std::vector<SampleField>& sample_fields() const override { return front().sample_fields(); }
  const std::vector<std::string>& class_names() const override { return front().class_names(); }
  int sample_field(std::string_view name) const override { return front().sample_field(name); }
  std::vector<Ingredient> ingredients() const override { return ingredients_; }
  bool makes_rows() const override { return makes_rows_; }

  std::vector<MixPart> parts() const override {
    std::vector<MixPart> parts;
    for (const auto& one : ingredients_) parts.push_back({one.samples->count(), one.weight});
    return parts;
  }

  void rows(const RowRequest& request) const override {
    const std::size_t row_bytes = sample_fields()[to_size(request.field)].type.bytes();
    for (std::size_t i = 0; i < request.samples.size(); ++i) {
      std::int64_t sample = request.samples[i];
      const SampleSource* source = &front();
      if (sample != no_sample) {
        const auto part = std::ranges::upper_bound(first_, sample) - first_.begin() - 1;
        source = ingredients_[to_size(part)].samples.get();
        sample -= first_[to_size(part)];
        source->resolve({&sample, 1});
      }
      source->rows({.field = request.field,
                    .samples = {&sample, 1},
                    .rows = request.rows.subspan(i, 1),
                    .lengths = request.lengths.empty() ? request.lengths : request.lengths.subspan(i, 1),
                    .room = makes_rows_ ? request.room + i * row_bytes : nullptr});
    }
  }

 private:
  const SampleSource& front() const { return *ingredients_.front().samples; }

  void check_fields(const Ingredient& other) const {
    std::vector<std::string> differences;
    for (const auto& field : sample_fields()) {
      const SampleField* const there = find(*other.samples, field.name);
      if (there == nullptr) differences.push_back(fmt::format("{} is only in the first", field.name));
      if (there != nullptr && there->type != field.type)
        differences.push_back(fmt::format("{} is {} and {}", field.name, text_of(field.type), text_of(there->type)));
    }
    for (const auto& field : other.samples->sample_fields())
      if (find(front(), field.name) == nullptr)
        differences.push_back(fmt::format("{} is only in the second", field.name));
    if (differences.empty() &&
        std::ranges::equal(sample_fields(), other.samples->sample_fields(), {}, &SampleField::name, &SampleField::name))
      return;
    refuse(other, differences.empty() ? "their fields stand in another order"
                                      : fmt::format("they have different fields: {}", fmt::join(differences, "; ")));
  }

  void check_classes(const Ingredient& other) const {
    const auto &mine = class_names(), &theirs = other.samples->class_names();
    if (mine == theirs) return;
    if (mine.size() != theirs.size())
      refuse(other, fmt::format("they have {} and {} classes", mine.size(), theirs.size()));
    const auto [a, b] = std::ranges::mismatch(mine, theirs);
    refuse(other, fmt::format("class {} is '{}' and '{}'", a - mine.begin(), *a, *b));
  }

  [[noreturn]] void refuse(const Ingredient& other, const std::string& why) const {
    fail(ExitCode::usage, "the samples of '{}' and '{}' cannot be mixed: {}; import them alike",
         origin_of(ingredients_.front()), origin_of(other), why);
  }

  static const SampleField* find(const SampleSource& source, const std::string& name) {
    const auto& fields = source.sample_fields();
    const auto found = std::ranges::find(fields, name, &SampleField::name);
    return found == fields.end() ? nullptr : &*found;
  }
  static std::string text_of(const RowType& type) {
    return fmt::format("{}{} {}", type.encoded() ? "encoded " : "", name_of(type.dtype), type.shape);
  }
  static const std::string& origin_of(const Ingredient& one) {
    return one.origin.empty() ? one.samples->name() : one.origin;
  }

  std::vector<Ingredient> ingredients_;
  std::vector<std::int64_t> first_;
  std::string name_, fingerprint_;
  std::int64_t count_ = 0;
  bool makes_rows_ = false;
};

}  // namespace

const std::vector<std::string>& SampleSource::class_names() const {
  static const std::vector<std::string> none;
  return none;
}

std::vector<Ingredient> SampleSource::ingredients() const { return {}; }

int SampleSource::sample_field(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& field : sample_fields()) {
    if (field.name == name) return static_cast<int>(names.size());
    names.push_back(field.name);
  }
  fail(ExitCode::usage, "the samples have no field '{}'; their fields are: {}", name, fmt::join(names, ", "));
}

TrainValidation::TrainValidation(const Samples& all, double fraction, std::uint64_t seed) {
  if (!(fraction >= 0 && fraction < 1)) {
    fail(ExitCode::usage, "a validation part of {} is not in [0, 1)", fraction);
  }
  if (fraction == 0) {
    train = all;
    return;
  }
  if (std::vector<Ingredient> sources = all->ingredients(); !sources.empty()) {
    std::vector<Ingredient> trained, held;
    for (Ingredient& one : sources) {
      const TrainValidation parts(one.samples, fraction, seed);
      trained.push_back({parts.train, one.weight, one.origin});
      held.push_back({parts.validation, one.weight, one.origin});
    }
    train = mix(std::move(trained));
    validation = mix(std::move(held));
    return;
  }
  const auto held = static_cast<std::int64_t>(std::floor(static_cast<double>(all->count()) * fraction));
  if (held == 0 || held == all->count()) {
    fail(ExitCode::usage, "a validation part of {} of {} samples leaves one part empty", fraction, all->count());
  }
  const Permutation shuffle(all->count(), random_key("validation", seed), 0);
  train = std::make_shared<const Part>(all, shuffle, Part::Range{held, all->count() - held});
  validation = std::make_shared<const Part>(all, shuffle, Part::Range{0, held});
}

Samples mix(std::vector<Ingredient> ingredients) {
  if (ingredients.size() == 1) return std::move(ingredients.front().samples);
  return std::make_shared<const Mix>(std::move(ingredients));
}

}  // namespace trireme
