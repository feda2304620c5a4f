#include "launcher/job/job_store.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/job_database.hpp"
#include "launcher/run/print.hpp"
#include "launcher/run/run_lock.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

std::string JobFolder::start_folder(std::int64_t start) const { return fmt::format("{}/start-{}", path_, start); }

std::string JobFolder::jobs_folder() const { return fs::path(path_).parent_path().string(); }

bool JobFolder::keeps_state() const {
  std::error_code ignored;
  return fs::exists(file("state.json"), ignored);
}

JobState JobFolder::state() const {
  if (keeps_state()) return job_state_from(read_file(file("state.json"), std::size_t{1} << 20), file("state.json"));
  const std::string jobs = jobs_folder();
  const auto found = JobDatabase::is_in(jobs) ? JobDatabase(jobs).state(id_) : std::nullopt;
  if (!found) fail(ExitCode::corrupt_input, "'{}' says nothing of job {}: its submit was cut short", jobs, id_);
  return *found;
}

void JobFolder::write(const JobState& state) const {
  if (keeps_state()) return write_text("state.json", to_json_text(state));
  JobDatabase(jobs_folder()).write(id_, state);
}

void JobFolder::begin(const JobDescription& job, const JobState& state) const {
  if (job.backend == Backend::slurm) return write_text("state.json", to_json_text(state));
  JobDatabase(jobs_folder()).submit(job.slot_request(id_), state);
  remove("state.json");
}

int JobFolder::asked_to_end() const {
  const auto asked = text("cancel");
  return asked ? std::max(1, std::atoi(asked->c_str())) : 0;
}

void JobFolder::ask_to_end() const { write_text("cancel", fmt::format("{}\n", asked_to_end() + 1)); }

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
