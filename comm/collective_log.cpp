#include "comm/collective_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "comm/progress_page.hpp"

namespace trireme {
namespace {

double seconds(CollectiveLog::Time from, CollectiveLog::Time to) {
  return std::chrono::duration<double>(to - from).count();
}

/// steady_clock is CLOCK_MONOTONIC here, which all processes of a host share.
std::int64_t nanoseconds(CollectiveLog::Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

std::string_view name_of(Collective kind) {
  constexpr std::string_view names[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast",
                                        "reduce",     "gather",         "scatter",    "all_to_all",
                                        "send",       "recv",           "exchange",   "barrier"};
  return names[static_cast<std::size_t>(kind)];
}

std::string CollectiveLog::Entry::text() const {
  std::string out = fmt::format("{} number {} of {}", name_of(kind), sequence, communicator);
  if (kind != Collective::barrier) out += fmt::format(" ({} x {})", name_of(dtype), count);
  if (!phase.empty()) out += " in " + phase;
  return out;
}

void CollectiveLog::Ticket::started() const {
  if (log_) log_->mark(index_, true);
}

void CollectiveLog::Ticket::finished() const {
  if (log_) log_->mark(index_, false);
}

CollectiveLog::Ticket CollectiveLog::record(Entry entry) {
  const std::lock_guard lock(guard_);
  Ticket ticket;
  ticket.log_ = shared_from_this();
  ticket.index_ = next_++;
  ticket.sequence_ = entry.sequence;
  entry.phase = phase_;
  entry.queued = std::chrono::steady_clock::now();
  beat();
  if (page_ != nullptr) {
    page_->record({.index = ticket.index_,
                   .sequence = entry.sequence,
                   .communicator = entry.communicator,
                   .kind = static_cast<std::uint8_t>(entry.kind),
                   .dtype = static_cast<std::uint8_t>(entry.dtype),
                   .reduction = entry.reduction,
                   .root = entry.root,
                   .phase = static_cast<Phase>(page_->phase.load(std::memory_order_relaxed)),
                   .count = entry.count,
                   .queued = nanoseconds(entry.queued)});
  }
  if (ring_.size() < capacity) {
    ring_.push_back(std::move(entry));
  } else {
    ring_[ticket.index_ % capacity] = std::move(entry);
  }
  return ticket;
}

void CollectiveLog::mark(std::uint64_t index, bool start) {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(guard_);
  beat();
  const bool kept = next_ - index <= capacity;
  if (kept) {
    Entry& entry = ring_[index % capacity];
    (start ? entry.started : entry.finished) = now;
    if (page_ != nullptr) {
      start ? page_->mark_started(index, nanoseconds(now)) : page_->mark_finished(index, nanoseconds(now));
    }
  }
  if (start) {
    if (running_++ == 0) busy_since_ = now;
  } else if (--running_ == 0) {
    busy_ += seconds(busy_since_, now);
  }
}

void CollectiveLog::set_phase(std::string phase) {
  const std::lock_guard lock(guard_);
  phase_ = std::move(phase);
  beat();
  if (page_ != nullptr) page_->phase.store(static_cast<std::uint32_t>(phase_from(phase_)), std::memory_order_relaxed);
}

void CollectiveLog::set_step(std::int64_t step) {
  if (page_ != nullptr) page_->step.store(step, std::memory_order_relaxed);
}

void CollectiveLog::publish(ProgressPage* page) { page_ = page; }

void CollectiveLog::check_calls(Checks checks) { checks_.store(checks == Checks::on, std::memory_order_relaxed); }

CollectiveLog::Comparing::Comparing(const CollectiveLog& log) : page_(log.page_) {
  if (page_ != nullptr) page_->comparing.store(1, std::memory_order_relaxed);
}

CollectiveLog::Comparing::~Comparing() {
  if (page_ != nullptr) page_->comparing.store(0, std::memory_order_relaxed);
}

std::vector<CollectiveLog::Entry> CollectiveLog::recent() const {
  const std::lock_guard lock(guard_);
  std::vector<Entry> out;
  out.reserve(ring_.size());
  for (std::uint64_t i = next_ - ring_.size(); i < next_; ++i) out.push_back(ring_[i % capacity]);
  return out;
}

std::vector<CollectiveLog::Entry> CollectiveLog::unfinished() const {
  auto entries = recent();
  std::erase_if(entries, [](const Entry& entry) { return entry.is_finished(); });
  return entries;
}

std::uint64_t CollectiveLog::calls() const {
  const std::lock_guard lock(guard_);
  return next_;
}

double CollectiveLog::busy_seconds() const {
  const std::lock_guard lock(guard_);
  return busy_ + (running_ > 0 ? seconds(busy_since_, std::chrono::steady_clock::now()) : 0.0);
}

}  // namespace trireme
