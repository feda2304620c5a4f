// Where a loader's samples come from: stored ones (Split), windows cut out of a stream of tokens (TokenWindows), a part
// of another source (TrainValidation), or several sources mixed. A source says what its samples are and gives their
// values; which one is the i-th of the stream is the Sampler's business, and putting them into batches the loader's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/row_type.hpp"
#include "datasets/sampler.hpp"

namespace trireme {

/// One named value of every sample.
struct SampleField {
  std::string name;
  RowType type;
};

/// What stands for no sample: it fills up the last batches of an evaluation, in rows of weight 0.
inline constexpr std::int64_t no_sample = -1;

/// Asks for one field's value of some samples.
struct RowRequest {
  int field = 0;
  /// As resolve() left them, or no_sample, for which any valid value does.
  std::span<const std::int64_t> samples;
  /// One place for each sample; gets where its value is (aligned to a byte only).
  std::span<const std::byte*> rows;
  /// As many places where the field is encoded; gets how many bytes each value has.
  std::span<std::int64_t> lengths = {};
  /// Memory for the values of all samples, in order, where makes_rows().
  std::byte* room = nullptr;
};

struct Ingredient;

/// Immutable; any number of threads may ask at once.
class SampleSource {
 public:
  virtual ~SampleSource() = default;

  /// For messages: the name of the split.
  virtual const std::string& name() const = 0;
  /// Two sources with the same fingerprint and count have the same samples in the same order.
  virtual const std::string& fingerprint() const = 0;
  virtual std::int64_t count() const = 0;
  /// The fields that fit into a batch.
  virtual const std::vector<SampleField>& sample_fields() const = 0;
  /// What the labels mean, in their order; empty: nothing is known.
  virtual const std::vector<std::string>& class_names() const;
  /// Place in sample_fields(); ExitCode::usage with the names there are.
  virtual int sample_field(std::string_view name) const;
  /// Into which consecutive parts the samples fall and how often the training stream takes from each.
  virtual std::vector<MixPart> parts() const { return {{count(), 1}}; }
  /// The sources of a mix; empty where this is none.
  virtual std::vector<Ingredient> ingredients() const;
  /// Replaces numbers in [0, count()) by those that rows() knows the samples by; once a batch, before all fields.
  virtual void resolve(std::span<std::int64_t>) const {}
  /// False: rows() points into memory that stays. True: it writes into RowRequest::room.
  virtual bool makes_rows() const { return false; }
  virtual void rows(const RowRequest& request) const = 0;
};

using Samples = std::shared_ptr<const SampleSource>;

/// Samples divided in two parts without a common one; the same for the same (samples, fraction, seed). Of a mix each
/// source is divided: the parts for training keep its weights.
struct TrainValidation {
  /// floor(samples * fraction) random samples are for validation; fraction in [0, 1). ExitCode::usage otherwise, or
  /// where a fraction above 0 leaves one of the parts empty. With 0 there is no validation: it is null.
  TrainValidation(const Samples& all, double fraction, std::uint64_t seed);
  Samples train;
  Samples validation;
};

/// A source of a mix and its share of the training stream, in proportion to the other weights.
struct Ingredient {
  Samples samples;
  double weight = 1;
  std::string origin = {};  ///< For messages: where the samples come from; empty: their name.
};

/// Several sources with equal fields and classes as one. Evaluation takes them one after the other; training takes from
/// each as its weight says (see MixPart), and an epoch has as many samples as all of them together. ExitCode::usage,
/// naming what differs, for other fields or classes.
Samples mix(std::vector<Ingredient> ingredients);

}  // namespace trireme
