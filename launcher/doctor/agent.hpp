// `trireme doctor-agent`, not for use by hand: what `trireme doctor` starts on each host by ssh. It reads questions, a
// JSON object a line, and answers each with a line that begins with agent_mark, whatever else a login shell prints. It
// ends with its input, and by itself after ten minutes.
//   {"ask": "facts", "folders": [...]}                 MachineFacts
//   {"ask": "time"}                                    {"nanoseconds": N}
//   {"ask": "listen", "token": T, "ports": [...]}      {"open": [...], "taken": [...]}
//   {"ask": "peer", PeerQuestion}                      PeerAnswer
//   {"ask": "shared", "folder": F, "token": T, ...}    SharedAnswer
// An answer {"problem": TEXT} says why there is none.
#pragma once

#include <span>
#include <string>

#include "core/io/json.hpp"
#include "launcher/doctor/peer.hpp"

namespace trireme {

inline constexpr const char* agent_mark = "trireme-doctor: ";

int doctor_agent_command(std::span<const std::string> args);

Json to_json(const PeerQuestion& question);
PeerAnswer peer_answer_from_json(const Json& json, const std::string& from);

}  // namespace trireme
