#include "comm/parallel/data_parallel.hpp"

#include <utility>

#include "comm/agreement.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/profile.hpp"
#include "core/device/cuda.hpp"

namespace trireme {
namespace {

/// Everything the ranks must have in common for their ranges to mean the same.
std::string fingerprint(const ArenaLayout& layout, const BucketOptions& options) {
  std::string out = fmt::format("{} {} {} {}\n", name_of(layout.dtype()), name_of(layout.gradient_dtype()),
                                options.bytes, options.first_bytes);
  for (std::size_t k = 0; k < layout.trained(); ++k) {
    const auto& entry = layout.entries()[k];
    out += fmt::format("{} {} {}\n", entry.name, entry.offset, entry.count);
  }
  return out;
}

void check_layouts(Communicator& comm, const std::string& text) {
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  check_same(comm, Tensor::from(bytes, {narrow<std::int64_t>(bytes.size())}),
             "the trained parameters (names, order, sizes, type) or bucket sizes");
}

}  // namespace

DataParallel::DataParallel(std::shared_ptr<Communicator> comm, const ArenaLayout& layout, Tensor grad,
                           const BucketOptions& options)
    : comm_(std::move(comm)),
      layout_(&layout),
      store_(layout, grad),
      buckets_(*comm_, plan_buckets(layout, options), grad),
      complete_(layout.trained(), 0) {
  require(grad.elements() == layout.trained_elements(), "the gradient plane has {} elements where the layout has {}",
          grad.elements(), layout.trained_elements());
  check_layouts(*comm_, fingerprint(layout, options));
}

void DataParallel::begin() {
  buckets_.begin();
  store_.begin();
  std::fill(complete_.begin(), complete_.end(), char{0});
  state_ = State::holding;
  busy_before_ = comm_->log().busy_seconds();
}

void DataParallel::send() {
  require(state_ == State::holding, "send() was called {}; call begin() first, then send() once a step",
          state_ == State::idle ? "outside a step" : "twice");
  state_ = State::sending;
}

Destination DataParallel::acquire(Parameter& parameter) {
  const auto entry = to_size(parameter.index());
  require(state_ != State::idle, "a gradient of {} was computed outside a step; call begin() first", parameter.name());
  require(!buckets_.is_sent(entry),
          "a second gradient of {} came after its bucket was sent; call send() before the last backward pass only",
          parameter.name());
  return store_.acquire(parameter);
}

void DataParallel::ready(Parameter& parameter) {
  if (state_ != State::sending) return;
  const auto entry = to_size(parameter.index());
  if (std::exchange(complete_.at(entry), char{1})) return;
  zero_untouched(entry, entry + 1);
  buckets_.fill(entry);
}

void DataParallel::flush() {
  require(state_ != State::idle, "flush() was called outside a step; call begin() first");
  for (std::size_t b = buckets_.sent(); b < buckets_.plan().size(); ++b) {
    const auto& bucket = buckets_.plan()[b];
    zero_untouched(bucket.first_entry, bucket.first_entry + bucket.entries);
  }
  buckets_.flush();
  state_ = State::idle;
  busy_ = comm_->log().busy_seconds() - busy_before_;
}

std::vector<double> DataParallel::sum(std::span<const double> values) {
  const ProfileSpan span("sum of numbers", ProfileSpan::Kind::communication);
  return comm_->all_reduce_values(values);
}

void DataParallel::sum(const Tensor& values) {
  const ProfileSpan span("sum of numbers", ProfileSpan::Kind::communication);
  wait_in_order(*comm_, values, comm_->all_reduce(values));
}

void DataParallel::zero_untouched(std::size_t first, std::size_t last) {
  const Stream* compute = comm_->compute();
  for (std::size_t k = first; k < last; ++k) {
    if (store_.touched(k)) continue;
    const Tensor gradient = store_.gradient(k);
    if (compute != nullptr && gradient.device().is_cuda()) {
      cuda::fill_zero_async(gradient.raw(), gradient.bytes(), compute->native());
      gradient.buffer()->bump_version();
    } else {
      gradient.fill_zero();
    }
  }
}

DataParallel::StepTiming DataParallel::timing() const {
  return {busy_, buckets_.timing().exposed_seconds, buckets_.timing().helping_seconds};
}

}  // namespace trireme
