// Encoding and decoding of frames; texts are bytes, never looked into.
#include "launcher/job/frames.hpp"

#include <fmt/format.h>

#include <charconv>

namespace trireme {
namespace {

constexpr char frame_mark = '\x01';

char part_of(FrameKind kind) {
  if (kind == FrameKind::report) return static_cast<char>(FrameKind::report_part);
  return static_cast<char>(kind == FrameKind::error ? FrameKind::error_part : FrameKind::output_part);
}

}  // namespace

std::vector<std::string> encode(const Frame& frame, std::size_t most) {
  std::vector<std::string> out;
  std::string_view rest = frame.text;
  const bool divisible =
      frame.kind == FrameKind::output || frame.kind == FrameKind::error || frame.kind == FrameKind::report;
  if (!divisible) rest = rest.substr(0, max_frame_text);
  while (divisible && rest.size() > most) {
    out.push_back(fmt::format("{}{}{} {}\n", frame_mark, part_of(frame.kind), frame.rank, rest.substr(0, most)));
    rest.remove_prefix(most);
  }
  out.push_back(fmt::format("{}{}{} {}\n", frame_mark, static_cast<char>(frame.kind), frame.rank, rest));
  return out;
}

std::optional<Frame> decode(std::string_view line) {
  if (line.size() < 4 || line[0] != frame_mark) return std::nullopt;
  if (std::string_view("oeOErbswhH").find(line[1]) == std::string_view::npos) return std::nullopt;
  int rank = 0;
  const auto [end, error] = std::from_chars(line.data() + 2, line.data() + line.size(), rank);
  if (error != std::errc{} || end == line.data() + line.size() || *end != ' ') return std::nullopt;
  return Frame{static_cast<FrameKind>(line[1]), rank, std::string(end + 1, line.data() + line.size())};
}

std::vector<std::string> LineSplitter::feed(std::string_view bytes) {
  std::vector<std::string> lines;
  for (std::size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
    lines.push_back(pending_ + std::string(bytes.substr(0, end)));
    pending_.clear();
    bytes.remove_prefix(end + 1);
  }
  pending_ += bytes;
  return lines;
}

std::string LineSplitter::rest() {
  std::string out;
  out.swap(pending_);
  return out;
}

}  // namespace trireme
