#include "datasets/device_feed.hpp"

#include <utility>

#include "datasets/loader_core.hpp"

namespace trireme::detail {
namespace {

void copy_all(const Stream& stream, const LoaderSlot& from, LoaderSlot& to) {
  for (std::size_t k = 0; k < from.fields.size(); ++k) to.fields[k].copy_from(from.fields[k], stream);
  to.weight.copy_from(from.weight, stream);
  to.first_position = from.first_position;
  to.first_row_position = from.first_row_position;
}

}  // namespace

DeviceFeed::DeviceFeed(std::shared_ptr<LoaderCore> core, const Stream& compute)
    : core_(std::move(core)),
      compute_(compute),
      copies_(compute.device()),
      waiting_(core_->plan().make_slot(system_allocator(compute.device()))),
      fixed_(core_->plan().make_slot(system_allocator(compute.device()))) {
  require(core_->plan().options().held >= 2, "a loader for {} with held = {}: it must be at least 2",
          compute.device().name(), core_->plan().options().held);
}

DeviceFeed::~DeviceFeed() {
  try {
    copies_.synchronize();
  } catch (...) {  // the device failed, which some other call has said
  }
  if (sent_ != nullptr) core_->give_back(sent_);
  let_go();
}

void DeviceFeed::let_go() noexcept {
  if (left_ != nullptr) core_->give_back(std::exchange(left_, nullptr));
}

void DeviceFeed::send() {
  LoaderSlot* const slot = core_->next();
  copies_.wait(taken_);
  copy_all(copies_, *slot, waiting_);
  arrived_ = copies_.record();
  sent_ = slot;
}

LoaderSlot* DeviceFeed::next() {
  require(!held_, "a batch of the loader is held: on a GPU let it go before the next");
  if (sent_ == nullptr) send();
  compute_.wait(arrived_);
  copy_all(compute_, waiting_, fixed_);
  taken_ = compute_.record();
  left_arrived_.wait();
  let_go();
  left_ = std::exchange(sent_, nullptr);
  left_arrived_ = std::move(arrived_);
  try {
    if (core_->is_ready()) send();
  } catch (...) {  // the loader says it again to whoever asks for that batch
  }
  held_ = true;
  return &fixed_;
}

std::uint64_t DeviceFeed::next_ticket() const { return core_->next_ticket() - (sent_ != nullptr ? 1 : 0); }

}  // namespace trireme::detail
