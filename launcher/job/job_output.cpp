// One line, one write(2). The refreshed line belongs to rank 0 alone: several would overwrite each other.
#include "launcher/job/job_output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace trireme {
namespace {

void put(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(descriptor, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    // A closed terminal or pipe (| head) does not end the job; the log files go on.
    if (done < 0) return;
    text.remove_prefix(static_cast<std::size_t>(done));
  }
}

}  // namespace

std::string JobOutput::prefix(int rank) const { return settings_.ranks > 1 ? fmt::format("[{}] ", rank) : ""; }

void JobOutput::draw_status() {
  if (status_.empty()) return;
  const auto columns = static_cast<std::size_t>(settings_.terminal_columns);
  put(settings_.output, fmt::format("\r{}\x1b[K", status_.substr(0, columns > 1 ? columns - 1 : 1)));
}

void JobOutput::line(int descriptor, const std::string& text) {
  if (status_.empty()) return put(descriptor, text + "\n");
  put(settings_.output, "\r\x1b[K");
  put(descriptor, text + "\n");
  draw_status();
}

void JobOutput::show(const Frame& frame) {
  const char kind = static_cast<char>(frame.kind);
  switch (frame.kind) {
    case FrameKind::output_part:
    case FrameKind::error_part: {
      const FrameKind whole = frame.kind == FrameKind::error_part ? FrameKind::error : FrameKind::output;
      parts_[{frame.rank, static_cast<char>(whole)}] += frame.text;
      return;
    }
    case FrameKind::output:
    case FrameKind::error: {
      // Rank 0's own line takes the place of its refreshed one.
      if (frame.rank == 0 && !status_.empty() && frame.kind == FrameKind::output) {
        put(settings_.output, "\r\x1b[K");
        status_.clear();
      }
      std::string& part = parts_[{frame.rank, kind}];
      const int descriptor = frame.kind == FrameKind::error ? settings_.error : settings_.output;
      line(descriptor, prefix(frame.rank) + part + frame.text);
      part.clear();
      return;
    }
    case FrameKind::status:
      if (settings_.terminal_columns == 0 || frame.rank != 0) return;
      status_ = frame.text;
      return draw_status();
    case FrameKind::started:
      started_.insert(frame.rank);
      return;
    case FrameKind::ended:
      if (auto end = rank_end_from_json(frame.text)) ends_[frame.rank] = *end;
      return;
    default:
      return;  // for the watchdog
  }
}

void JobOutput::say(const std::string& text) { line(settings_.error, text); }

void JobOutput::finish() {
  if (!status_.empty()) put(settings_.output, "\n");
  status_.clear();
}

}  // namespace trireme
