// Makes or reopens run folders. config.ini marks a folder as a run, and overwriting is allowed only where that mark is:
// so it is the first file with a meaning to be written, and the last to be removed.
#include "launcher/run/run_folder.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <regex>
#include <sstream>
#include <vector>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string folder_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts));
}

/// A new folder's entry must outlive a power cut like the files in it. A parent that may be entered but not read cannot
/// be synced; there the file system keeps the order by itself or not at all.
void sync_parent(const std::string& path) {
  try {
    sync_folder(fs::path(path).parent_path().string());
  } catch (const Error&) {
  }
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return sync_parent(path);
  const int error = errno;
  std::error_code ignored;
  if (error == EEXIST && fs::is_directory(path, ignored)) return;
  fail(ExitCode::storage, "cannot make the folder '{}': {}", path, std::strerror(error));
}

void make_run_folders(const fs::path& path) {
  std::error_code ignored;
  if (path.empty() || fs::is_directory(path, ignored)) return;
  make_run_folders(path.parent_path());
  make_folder(path.string());
}

std::string make_named_folder(const RunFolderSettings& settings) {
  if (!settings.path.empty()) {
    make_run_folders(settings.path);
    return settings.path;
  }
  if (settings.name.find('/') != std::string::npos || settings.name == "." || settings.name == "..") {
    fail(ExitCode::usage, "'{}' is no name of a run: it would leave '{}'; give a path by --run-dir instead",
         settings.name, settings.parent);
  }
  make_run_folders(settings.parent);
  if (!settings.name.empty()) {
    make_folder(settings.parent + "/" + settings.name);
    return settings.parent + "/" + settings.name;
  }
  // Two runs started in the same second both get a folder of their own.
  const std::string stem = settings.parent + "/" + folder_stamp();
  std::string path = stem;
  for (int copy = 2; ::mkdir(path.c_str(), 0700) != 0; ++copy) {
    if (errno != EEXIST) fail(ExitCode::storage, "cannot make the folder '{}': {}", path, std::strerror(errno));
    path = fmt::format("{}-{}", stem, copy);
  }
  sync_parent(path);
  return path;
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) fail(ExitCode::storage, "cannot look into '{}': {}", path, error.message());
  return names;
}

/// Of an atomic write that was cut off.
bool is_leftover(const std::string& name) {
  static const std::regex form(R"((config|metrics|summary|tokenizer|plan|job)(\.\d+)?\.(ini|jsonl|json)\.\d+\.tmp)");
  return std::regex_match(name, form);
}

/// N of config.N.ini; 0 for other names.
std::int64_t number_of_config(const std::string& name) {
  static const std::regex form(R"(config\.(\d{1,9})\.ini)");
  std::smatch match;
  return std::regex_match(name, match, form) ? std::stoll(match[1]) : 0;
}

void remove_part(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail(ExitCode::storage, "cannot remove '{}': {}", path, error.message());
}

void remove_run(const std::string& path) {
  for (const char* part : {"metrics.jsonl", "summary.json", "curve.svg", "logs", "checkpoints", "tensorboard",
                           "config.json", "tokenizer.json", "plan.json", "job.ini"}) {
    remove_part(path + "/" + part);
  }
  for (const std::string& name : names_in(path)) {
    if (number_of_config(name) > 0) remove_part(path + "/" + name);
  }
  remove_part(path + "/config.ini");
}

/// The lines that say something; the others tell where values came from.
std::string values_of(const std::string& ini) {
  std::istringstream lines(ini);
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) out += line + "\n";
  }
  return out;
}

}  // namespace

bool RunFolder::holds_run() const {
  std::error_code ignored;
  return fs::exists(config_file(), ignored);
}

void RunFolder::check(const RunFolderSettings& settings) const {
  if (holds_run()) {
    if (settings.existing != ExistingRun::refuse) return;
    fail(ExitCode::usage,
         "the run folder '{}' is not empty; choose another by --run-dir or replace that run by --overwrite", path_);
  }
  if (settings.existing == ExistingRun::resume) {
    fail(ExitCode::usage, "no run to resume in '{}': it has no config.ini; check the path", path_);
  }
  // What is there before config.ini is: the launcher makes logs, a killed run leaves the others.
  const auto counts = [](const std::string& name) { return name != "lock" && name != "logs" && !is_leftover(name); };
  const std::vector<std::string> names = names_in(path_);
  if (std::none_of(names.begin(), names.end(), counts)) return;
  if (settings.existing == ExistingRun::refuse) {
    fail(ExitCode::usage, "the run folder '{}' is not empty; choose another by --run-dir", path_);
  }
  fail(ExitCode::usage, "'{}' holds files but no run (no config.ini), so {}; choose another folder", path_,
       settings.existing == ExistingRun::overwrite ? "it is not overwritten" : "none is started there");
}

RunFolder::RunFolder(const RunFolderSettings& settings) {
  if (settings.existing == ExistingRun::resume) {
    path_ = settings.path.empty() ? settings.parent + "/" + settings.name : settings.path;
  } else {
    path_ = make_named_folder(settings);
  }
  check(settings);
  lock_.emplace(path_, job_name());
  // Another process may have been faster between the look and the lock.
  check(settings);
  for (const std::string& name : names_in(path_)) {
    if (is_leftover(name)) remove_part(path_ + "/" + name);
  }
  existed_ = holds_run();
  if (existed_ && settings.existing == ExistingRun::overwrite) {
    remove_run(path_);
    existed_ = false;
  }
  make_folder(log_folder());
}

void RunFolder::write_config(const std::string& ini) const {
  if (holds_run()) {
    const std::string former = read_file(config_file());
    std::int64_t newest = 0;
    for (const std::string& name : names_in(path_)) newest = std::max(newest, number_of_config(name));
    const auto kept = [&](std::int64_t number) { return fmt::format("{}/config.{}.ini", path_, number); };
    // A run that was killed between the two writes below has kept it already.
    const bool known = newest > 0 && read_file(kept(newest)) == former;
    if (!known && values_of(former) != values_of(ini)) write_file_atomically(kept(newest + 1), former);
  }
  write_file_atomically(config_file(), ini);
}

void RunFolder::write_file(const std::string& name, const std::string& text) const {
  write_file_atomically(path_ + "/" + name, text);
}

}  // namespace trireme
