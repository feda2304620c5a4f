// The order of blame: ended by itself (earliest clock first), then an exit code after a stop signal (MPI_Abort stops
// the aborting rank too), then a rank that vanished, then those killed by the stop signal; never one that has saved.
#include "launcher/job/rank_end.hpp"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <tuple>

#include "core/base/error.hpp"
#include "core/io/json.hpp"

namespace trireme {
namespace {

const char* meaning(int code) {
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::usage:
      return " (usage)";
    case ExitCode::disagree:
      return " (ranks disagree)";
    case ExitCode::resume_me:
      return " (saved, asks to be resumed)";
    case ExitCode::hang:
      return " (hang)";
    case ExitCode::peer_lost:
      return " (peer lost)";
    case ExitCode::numeric:
      return " (numeric guard)";
    case ExitCode::storage:
      return " (storage)";
    case ExitCode::corrupt_input:
      return " (corrupt input)";
    case ExitCode::do_not_restart:
      return " (do not restart)";
    default:
      return "";
  }
}

int blame(const RankEnd& end) {
  if (end.asks_to_resume()) return 4;
  if (end.ended && !end.told_to_stop) return 0;
  if (end.ended && end.signal == 0) return 1;
  return end.ended ? 3 : 2;
}

}  // namespace

bool RankEnd::asks_to_resume() const {
  return ended && signal == 0 && exit_code == static_cast<int>(ExitCode::resume_me);
}

bool RankEnd::failed_by_itself() const { return ended && failed() && !told_to_stop && !asks_to_resume(); }

int RankEnd::code() const {
  if (!ended) return static_cast<int>(ExitCode::peer_lost);
  return signal != 0 ? 128 + signal : exit_code;
}

std::string to_json_text(const RankEnd& end) {
  const Json json{{"rank", end.rank},
                  {"host", end.host},
                  {"ended", end.ended},
                  {"exit_code", end.exit_code},
                  {"signal", end.signal},
                  {"time", end.time},
                  {"told_to_stop", end.told_to_stop},
                  {"last_error", end.last_error}};
  // The last line is whatever bytes a program wrote; bytes that are no UTF-8 must not cost the record.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<RankEnd> rank_end_from_json(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    return RankEnd{.rank = json.at("rank"),
                   .host = json.at("host"),
                   .ended = json.at("ended"),
                   .exit_code = json.at("exit_code"),
                   .signal = json.at("signal"),
                   .time = json.at("time"),
                   .told_to_stop = json.at("told_to_stop"),
                   .last_error = json.at("last_error")};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::optional<RankEnd> root_cause(const std::vector<RankEnd>& ends) {
  const RankEnd* first = nullptr;
  const auto key = [](const RankEnd& end) { return std::tuple(blame(end), end.time, end.rank); };
  for (const RankEnd& end : ends) {
    if (end.failed() && (first == nullptr || key(end) < key(*first))) first = &end;
  }
  return first == nullptr ? std::nullopt : std::optional(*first);
}

bool saved(const std::vector<RankEnd>& ends) {
  return std::any_of(ends.begin(), ends.end(), [](const RankEnd& end) { return end.asks_to_resume(); }) &&
         std::none_of(ends.begin(), ends.end(), [](const RankEnd& end) { return end.failed_by_itself(); });
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name);
}

std::string meaning_of_code(int code) {
  if (code > 128 && code < 128 + 65) return fmt::format("killed by {}", signal_name(code - 128));
  return fmt::format("code {}{}", code, meaning(code));
}

std::string describe(const RankEnd& end) {
  if (!end.ended) return "vanished without a word (killed together with its wrapper, or its host was lost)";
  if (end.signal != 0) return fmt::format("was killed by {} ({})", signal_name(end.signal), end.signal);
  return fmt::format("exited with code {}{}", end.exit_code, meaning(end.exit_code));
}

}  // namespace trireme
