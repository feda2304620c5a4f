#include "datasets/loader.hpp"

#include "core/base/activity.hpp"
#include "core/base/checked.hpp"
#include "core/device/pinned.hpp"
#include "datasets/device_feed.hpp"
#include "datasets/loader_core.hpp"

namespace trireme {

Batch& Batch::operator=(Batch&& other) noexcept {
  if (this != &other) {
    release();
    core_ = std::move(other.core_);
    feed_ = std::move(other.feed_);
    slot_ = other.slot_;
  }
  return *this;
}

Batch::~Batch() { release(); }

void Batch::release() noexcept {
  if (feed_) {
    feed_->give_back();
  } else if (core_) {
    core_->give_back(slot_);
  }
  feed_.reset();
  core_.reset();
}

const Tensor& Batch::field(std::string_view name) const { return slot_->fields[to_size(core_->plan().place_of(name))]; }
const Tensor& Batch::weight() const { return slot_->weight; }
std::int64_t Batch::rows() const { return core_->plan().rows().count; }
std::uint64_t Batch::first_position() const { return slot_->first_position; }
std::uint64_t Batch::first_row_position() const { return slot_->first_row_position; }

Loader::Loader(Samples samples, LoaderOptions options) {
  const Stream* const stream = options.stream;
  Allocator& memory = staging_allocator(stream != nullptr ? stream->device() : Device::cpu());
  core_ = std::make_shared<detail::LoaderCore>(std::move(samples), std::move(options), memory);
  if (stream != nullptr) feed_ = std::make_shared<detail::DeviceFeed>(core_, *stream);
  core_->start();
}

Loader::~Loader() { core_->stop(); }

Batch Loader::next() {
  beat();
  if (feed_) return {core_, feed_, feed_->next()};
  return {core_, nullptr, core_->next()};
}

std::uint64_t Loader::next_ticket() const { return feed_ ? feed_->next_ticket() : core_->next_ticket(); }
bool Loader::finished() const { return core_->plan().past_end(next_ticket()); }
std::uint64_t Loader::position() const { return core_->plan().position_of(next_ticket()); }
std::int64_t Loader::global_batch() const { return core_->plan().global_batch(); }
std::int64_t Loader::batches_per_epoch() const { return ceil_div(core_->plan().samples().count(), global_batch()); }
double Loader::waited_seconds() const { return core_->waited_seconds(); }

}  // namespace trireme
