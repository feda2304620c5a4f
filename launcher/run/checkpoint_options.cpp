#include "launcher/run/checkpoint_options.hpp"

#include <cctype>
#include <charconv>

#include "core/base/error.hpp"

namespace trireme {
namespace {

double seconds_of(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86400;
    default:
      return 0;
  }
}

bool only_digits(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

double parse_duration(const std::string& text, const std::string& option) {
  double total = 0, largest = 1e300;
  const char* at = text.data();
  const char* const end = at + text.size();
  bool good = !text.empty();
  while (good && at != end) {
    double number = 0;
    const auto [behind, error] = std::from_chars(at, end, number);
    const double unit = behind == end ? (at == text.data() ? 1 : 0) : seconds_of(*behind);
    // Units must fall, as in 1h30m: "30m1h" is more likely a slip than a wish.
    good = error == std::errc() && number >= 0 && number < 1e12 && unit > 0 && unit < largest;
    total += number * unit;
    largest = unit;
    at = behind == end ? end : behind + 1;
  }
  if (!good || !(total > 0))
    fail(ExitCode::usage, "--{} {}: wanted a duration above zero like 90s, 10m, 2h or 1h30m", option, text);
  return total;
}

SaveInterval SaveInterval::parse(const std::string& text) {
  if (text == "off" || text == "0") return {.kind = Kind::off};
  if (text == "auto") return {.kind = Kind::automatic};
  if (!only_digits(text)) {
    if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) == 0)
      fail(ExitCode::usage, "--checkpoint-every {}: wanted a number of steps (500), a duration (10m), auto or off",
           text);
    return {.kind = Kind::seconds, .value = parse_duration(text, "checkpoint-every")};
  }
  double steps = 0;
  std::from_chars(text.data(), text.data() + text.size(), steps);
  if (steps < 1 || steps > 1e15)
    fail(ExitCode::usage, "--checkpoint-every {}: wanted 1 to 10^15 steps, a duration (10m), auto or off", text);
  return {.kind = Kind::steps, .value = steps};
}

void CheckpointOptions::declare(OptionSet& options) {
  options.group("Checkpoints")
      .add("checkpoint-every", &every,
           "steps (500) or time (10m) between checkpoints; auto: by Young's formula from the measured cost of a save "
           "and --mtbf-hours; off: none, also not at the end")
      .add("mtbf-hours", &mtbf_hours, "mean time between failures of the job, for auto", {.low = 0.001, .high = 1e6})
      .add("checkpoint-async", &in_background, "write checkpoints in the background from a copy of the state")
      .add("keep-last", &keep_last, "newest checkpoints that are kept", {.low = 2, .high = 1 << 20})
      .add("keep-every", &keep_every, "also keep every checkpoint whose step is a multiple of this; 0: none",
           {.low = 0})
      .add("resume", &resume,
           "auto: go on with the run in --run-dir where there is one; never: refuse a folder that holds a run; or the "
           "path of a checkpoint or run folder to go on from")
      .add("init-from", &init_from, "first weights from this checkpoint or run folder; nothing else is taken from it")
      .add("max-time", &max_time, "save and end with code 10 before this much time has passed (2h, 1h30m)")
      .add("allow-other-data", &other_data, "resume although the training data is not that of the checkpoint");
}

double CheckpointOptions::time_limit() const { return max_time.empty() ? 0 : parse_duration(max_time, "max-time"); }

}  // namespace trireme
