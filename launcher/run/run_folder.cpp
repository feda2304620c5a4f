// Makes or reopens run folders. The first thing written is config.ini: it marks a folder as a run, and overwriting is
// allowed only where that mark is.
#include "launcher/run/run_folder.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string date_and_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts));
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return;
  const int error = errno;
  std::error_code ignored;
  if (error == EEXIST && fs::is_directory(path, ignored)) return;
  fail(ExitCode::storage, "cannot make the folder '{}': {}", path, std::strerror(error));
}

std::string make_named_folder(const RunFolderSettings& settings) {
  if (!settings.path.empty()) {
    const std::string parent = fs::path(settings.path).parent_path().string();
    std::error_code error;
    if (!parent.empty()) fs::create_directories(parent, error);
    make_folder(settings.path);
    return settings.path;
  }
  if (settings.name.find('/') != std::string::npos || settings.name == "." || settings.name == "..") {
    fail(ExitCode::usage, "'{}' is no name of a run: it would leave '{}'; give a path by --run-dir instead",
         settings.name, settings.parent);
  }
  make_folder(settings.parent);
  if (!settings.name.empty()) {
    make_folder(settings.parent + "/" + settings.name);
    return settings.parent + "/" + settings.name;
  }
  // Two runs started in the same second both get a folder of their own.
  const std::string stem = settings.parent + "/" + date_and_time();
  std::string path = stem;
  for (int copy = 2; ::mkdir(path.c_str(), 0700) != 0; ++copy) {
    if (errno != EEXIST) fail(ExitCode::storage, "cannot make the folder '{}': {}", path, std::strerror(errno));
    path = fmt::format("{}-{}", stem, copy);
  }
  return path;
}

void remove_run(const std::string& path) {
  for (const char* part : {"metrics.jsonl", "summary.json", "curve.svg", "logs", "checkpoints", "config.ini"}) {
    std::error_code error;
    fs::remove_all(path + "/" + part, error);
    if (error) fail(ExitCode::storage, "cannot remove '{}/{}': {}", path, part, error.message());
  }
}

}  // namespace

RunFolder::RunFolder(const RunFolderSettings& settings) {
  if (settings.existing == ExistingRun::resume) {
    path_ = settings.path.empty() ? settings.parent + "/" + settings.name : settings.path;
    if (!fs::exists(config_file())) {
      fail(ExitCode::usage, "no run to resume in '{}': it has no config.ini; check the path", path_);
    }
    return;
  }
  path_ = make_named_folder(settings);
  std::error_code error;
  const bool empty = fs::is_empty(path_, error);
  if (error) fail(ExitCode::storage, "cannot look into '{}': {}", path_, error.message());
  const bool holds_run = fs::exists(config_file());
  if (!empty && settings.existing == ExistingRun::refuse) {
    fail(ExitCode::usage, "the run folder '{}' is not empty; choose another by --run-dir{}", path_,
         holds_run ? " or replace that run by --overwrite" : "");
  }
  if (!empty && !holds_run) {
    fail(ExitCode::usage,
         "'{}' holds files but no run (no config.ini), so it is not overwritten; choose another folder", path_);
  }
  if (!empty) remove_run(path_);
  make_folder(log_folder());
}

void RunFolder::write_config(const std::string& ini) const { write_file_atomically(config_file(), ini); }

void RunFolder::write_file(const std::string& name, const std::string& text) const {
  write_file_atomically(path_ + "/" + name, text);
}

}  // namespace trireme
