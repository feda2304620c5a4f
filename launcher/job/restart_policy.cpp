#include "launcher/job/restart_policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "launcher/job/rank_end.hpp"

namespace trireme {
namespace {

std::string times(std::int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

Decision given_up(int code, std::string reason) {
  return {.next = Decision::Next::failed, .code = code, .reason = std::move(reason)};
}

}  // namespace

bool worth_another_start(int code) {
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::failure:
    case ExitCode::usage:
    case ExitCode::disagree:
    case ExitCode::numeric:
    case ExitCode::corrupt_input:
    case ExitCode::do_not_restart:
      return false;
    default:
      return true;
  }
}

Decision after_attempt(const RestartRules& rules, const AttemptEnd& end, RestartHistory& history) {
  const bool progress = end.newest_step > history.newest_step;
  history.newest_step = std::max(history.newest_step, end.newest_step);
  history.stuck = progress ? 0 : history.stuck + 1;
  if (end.code == 0) return {.next = Decision::Next::done};
  if (!worth_another_start(end.code)) {
    return given_up(end.code, fmt::format("{}: starting again would end in the same way", meaning_of_code(end.code)));
  }
  const bool saved = end.code == static_cast<int>(ExitCode::resume_me);
  if (!saved) {
    std::erase_if(history.failures, [&](double time) { return time <= end.time - rules.window_seconds; });
    if (static_cast<std::int64_t>(history.failures.size()) >= rules.restarts) {
      return given_up(end.code,
                      fmt::format("{}, after {} within {:.0f} s (restarts, restart-window)", meaning_of_code(end.code),
                                  times(rules.restarts, "restart"), rules.window_seconds));
    }
    history.failures.push_back(end.time);
  }
  if (history.stuck >= rules.no_progress) {
    return given_up(static_cast<int>(ExitCode::do_not_restart),
                    fmt::format("{}, and no new checkpoint in {} (no-progress)", meaning_of_code(end.code),
                                times(history.stuck, "start")));
  }
  if (saved && progress) return {.next = Decision::Next::again, .reason = meaning_of_code(end.code)};
  const double doublings = static_cast<double>(std::max<std::int64_t>(0, history.stuck - 1));
  const double delay = std::min(rules.longest_delay, rules.first_delay * std::exp2(std::min(doublings, 30.0)));
  return {.next = Decision::Next::again, .delay = delay, .reason = meaning_of_code(end.code)};
}

}  // namespace trireme
