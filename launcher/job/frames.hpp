// The wire between the wrapper around each rank and the launcher. All ranks' text comes through one stream, where
// mpirun mixes it in pieces of at most 4096 bytes; a frame is a short line that says whose text it is, so that lines
// arrive whole whatever their length:
//   0x01 KIND RANK ' ' TEXT '\n'        TEXT of at most max_frame_text bytes
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

enum class FrameKind : char {
  output = 'o',       // a line of standard output, or its end
  error = 'e',        // a line of standard error, or its end
  output_part = 'O',  // the line goes on in the next frame of this kind and rank
  error_part = 'E',
  status = 'r',   // a line that the next one replaces (carriage return), without its end
  started = 'b',  // the rank's program runs
  ended = 's',    // how the rank ended: RankEnd as JSON
  watch = 'w',    // what is seen of the rank now: RankSample as JSON
  report = 'h',   // calls and stacks as JSON, or its end
  report_part = 'H',
};

struct Frame {
  FrameKind kind;
  int rank;
  std::string text;
};

constexpr std::size_t max_frame_text = 3900;

/// `frame` as bytes; texts of more than `most` bytes become several frames.
std::vector<std::string> encode(const Frame& frame, std::size_t most = max_frame_text);
/// Nothing where `line` (without its end) is no frame, e.g. words of mpirun itself.
std::optional<Frame> decode(std::string_view line);

/// Cuts a stream of bytes into lines at '\n'.
class LineSplitter {
 public:
  /// The lines that `bytes` completes, without their ends.
  std::vector<std::string> feed(std::string_view bytes);
  /// What came after the last line end; empties it.
  std::string rest();

 private:
  std::string pending_;
};

}  // namespace trireme
