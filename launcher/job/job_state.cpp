#include "launcher/job/job_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "core/io/json_object.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* phase_names[] = {"queued", "running", "pausing", "requeued", "done", "failed", "cancelled"};

JobPhase phase_of(const std::string& name, const JsonObject& object) {
  const auto at = std::ranges::find(phase_names, name);
  if (at == std::end(phase_names)) object.refuse("phase", fmt::format("'{}' is none", harmless(name)));
  return static_cast<JobPhase>(at - std::begin(phase_names));
}

double number(const JsonObject& object, const char* key) {
  const Json& value = object.value(key);
  if (!value.is_number()) object.refuse(key, "is no number");
  return value.get<double>();
}

}  // namespace

std::string to_text(JobPhase phase) { return phase_names[static_cast<std::size_t>(phase)]; }

bool is_final(JobPhase phase) { return phase >= JobPhase::done; }

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string to_json_text(const JobState& state) {
  const Json json{{"phase", to_text(state.phase)},
                  {"starts", state.starts},
                  {"code", state.code},
                  {"reason", state.reason},
                  {"host", state.host},
                  {"process", state.process},
                  {"submitted", state.submitted},
                  {"started", state.started},
                  {"ended", state.ended},
                  {"next_start", state.next_start},
                  {"failures", state.history.failures},
                  // One more than the step, so that "none" is 0.
                  {"checkpoints", state.history.newest_step + 1},
                  {"stuck", state.history.stuck}};
  return dump_json(json) + "\n";
}

JobState job_state_from(const std::string& text, const std::string& path) {
  const Json json = parse_json(text, path, "the state of a job");
  const JsonObject object(json, path, "");
  JobState state{.phase = phase_of(object.text("phase"), object),
                 .starts = object.count("starts"),
                 .code = static_cast<int>(object.count("code")),
                 .reason = object.text("reason"),
                 .host = object.text("host"),
                 .process = object.count("process"),
                 .submitted = number(object, "submitted"),
                 .started = number(object, "started"),
                 .ended = number(object, "ended"),
                 .next_start = number(object, "next_start")};
  state.history.newest_step = object.count("checkpoints") - 1;
  state.history.stuck = object.count("stuck");
  for (const Json& time : object.list("failures")) {
    if (!time.is_number()) object.refuse("failures", "holds what is no number");
    state.history.failures.push_back(time.get<double>());
  }
  return state;
}

}  // namespace trireme
