#include "datasets/progress.hpp"

#include <unistd.h>

#include <cstdio>

#include "core/base/log.hpp"

namespace trireme {
namespace {

constexpr int bar_width = 30;
constexpr std::chrono::milliseconds redraw_every{100}, line_every{5000};

}  // namespace

Progress::Progress(std::string label, std::int64_t total, std::string unit)
    : label_(std::move(label)), unit_(std::move(unit)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fputc('\n', stderr);
}

void Progress::advance(std::int64_t count) {
  done_ += count;
  const auto now = Clock::now();
  if (done_ < total_ && now - shown_ < (terminal_ ? redraw_every : line_every)) return;
  shown_ = now;
  drawn_ = terminal_;
  show();
}

void Progress::show() const {
  const double part = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0;
  if (!terminal_) {
    log::info("{}: {} of {} {} ({:.0f} %)", label_, done_, total_, unit_, 100 * part);
    return;
  }
  const auto filled = static_cast<std::size_t>(part * bar_width);
  const std::string bar = std::string(filled, '#') + std::string(bar_width - filled, '.');
  fmt::print(stderr, "\r{} [{}] {:3.0f} %  {} / {} {}", label_, bar, 100 * part, done_, total_, unit_);
  std::fflush(stderr);
}

}  // namespace trireme
