// The files TensorBoard reads: Event messages of protobuf in the frames of TFRecord. Here are the frames, and what
// resuming needs: taking the steps that will be computed again out of the files of the interrupted run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// What the name of an event file begins with; a number of seconds and a dot follow.
inline constexpr std::string_view event_file_prefix = "events.out.tfevents.";

/// Length (u64), its masked CRC-32C, the message, its masked CRC-32C; all little-endian.
std::string framed_record(std::string_view message);

/// The event files of a folder.
std::vector<std::string> event_files(const std::string& folder);

/// Rewrites the event files of `folder` without the events at `step` and later, and without a cut-off last record. The
/// event that names the file's version stays in any case. Each file is old and whole or new and whole; one that does
/// not begin with an event is left alone.
void drop_events_from(const std::string& folder, std::int64_t step);

}  // namespace trireme
