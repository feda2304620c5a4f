#include "launcher/job/job_store.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "core/io/json_object.hpp"
#include "launcher/run/print.hpp"
#include "launcher/run/run_lock.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr const char* phase_names[] = {"queued", "running", "pausing", "requeued", "done", "failed", "cancelled"};

void make_private_folders(const fs::path& path) {
  if (path.empty() || fs::is_directory(path)) return;
  make_private_folders(path.parent_path());
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
  fail(ExitCode::storage, "cannot make the folder '{}' for jobs: {}", path.string(), std::strerror(errno));
}

std::optional<std::int64_t> number_of(const std::string& name) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool good = error == std::errc{} && end == name.data() + name.size() && number > 0 && name[0] != '0';
  return good ? std::optional(number) : std::nullopt;
}

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

Json json_of(const JobState& state) {
  return {{"phase", to_text(state.phase)},
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
}

}  // namespace

std::string to_text(JobPhase phase) { return phase_names[static_cast<std::size_t>(phase)]; }

bool is_final(JobPhase phase) { return phase >= JobPhase::done; }

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string JobFolder::start_folder(std::int64_t start) const { return fmt::format("{}/start-{}", path_, start); }

JobState JobFolder::state() const {
  const std::string path = file("state.json");
  const Json json = parse_json(read_file(path, std::size_t{1} << 20), path, "the state of a job");
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

void JobFolder::write(const JobState& state) const { write_text("state.json", dump_json(json_of(state)) + "\n"); }

void JobFolder::write_text(const std::string& name, const std::string& text) const {
  write_file_atomically(file(name), text);
}

std::optional<std::string> JobFolder::text(const std::string& name) const {
  std::error_code ignored;
  if (!fs::exists(file(name), ignored)) return std::nullopt;
  return read_file(file(name), std::size_t{1} << 20);
}

void JobFolder::remove(const std::string& name) const {
  std::error_code error;
  fs::remove(file(name), error);
  if (error) fail(ExitCode::storage, "cannot remove '{}': {}", file(name), error.message());
}

void JobFolder::read(JobDescription& job) const {
  OptionSet options({.name = fmt::format("job {}", id_),
                     .summary = "the description of a submitted job",
                     .sources = OptionSources::file_operand});
  job.declare(options);
  std::vector<std::string> operand;
  options.positional("JOB.ini", &operand, "its file");
  options.parse(std::vector<std::string>{file("job.ini")});
}

std::optional<std::string> JobFolder::runner() const { return run_owner(path_); }

std::string JobStore::usual_folder() {
  const auto absolute = [](const char* variable) {
    const char* value = std::getenv(variable);
    return value != nullptr && value[0] == '/' ? std::string(value) : "";
  };
  const std::string state = absolute("XDG_STATE_HOME"), home = absolute("HOME");
  if (!state.empty()) return state + "/trireme/jobs";
  if (!home.empty()) return home + "/.local/state/trireme/jobs";
  fail(ExitCode::usage, "cannot tell where jobs are kept: set HOME or XDG_STATE_HOME to an absolute path");
}

std::vector<std::int64_t> JobStore::numbers() const {
  std::vector<std::int64_t> out;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto one = number_of(entry->path().filename().string())) out.push_back(*one);
  }
  std::ranges::sort(out);
  return out;
}

JobFolder JobStore::create() const {
  make_private_folders(folder_);
  const auto taken = numbers();
  for (std::int64_t id = taken.empty() ? 1 : taken.back() + 1;; ++id) {
    const std::string path = fmt::format("{}/{}", folder_, id);
    if (::mkdir(path.c_str(), 0700) == 0) return {path, id};
    // Two submitted at once get a number each.
    if (errno != EEXIST) fail(ExitCode::storage, "cannot make the folder '{}': {}", path, std::strerror(errno));
  }
}

JobFolder JobStore::open(const std::string& id) const {
  const auto wanted = number_of(id);
  const auto known = numbers();
  if (wanted && std::ranges::find(known, *wanted) != known.end())
    return {fmt::format("{}/{}", folder_, *wanted), *wanted};
  fail(ExitCode::usage, "there is no job '{}'{}; 'trireme list' shows them", harmless(id),
       known.empty() ? " (none was submitted)" : fmt::format(", the newest is {}", known.back()));
}

std::vector<JobFolder> JobStore::list() const {
  std::vector<JobFolder> out;
  for (const std::int64_t id : numbers()) out.emplace_back(fmt::format("{}/{}", folder_, id), id);
  return out;
}

}  // namespace trireme
