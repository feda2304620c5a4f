#include "launcher/run/checkpoint_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/descriptor.hpp"
#include "core/io/file.hpp"
#include "launcher/run/checkpoint_json.hpp"
#include "launcher/run/checkpoint_reader.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view partial_suffix = ".partial";
constexpr std::string_view trash_suffix = ".trash";
/// An older checkpoint that makes way on a file system that cannot exchange two names.
constexpr std::string_view replaced_suffix = ".replaced";
constexpr std::int64_t always_kept = 2;

[[noreturn]] void storage_error(const char* action, const std::string& path, const std::string& reason) {
  fail(ExitCode::storage, "cannot {} '{}': {}", action, path, reason);
}

std::string published(const std::string& folder, std::int64_t step) { return folder + "/" + checkpoint_name(step); }

std::string hidden(const std::string& folder, std::int64_t step, std::string_view suffix) {
  return fmt::format("{}/.{}{}", folder, checkpoint_name(step), suffix);
}

/// The step of a name made by hidden() with this suffix; -1 for others.
std::int64_t hidden_step(std::string_view name, std::string_view suffix) {
  if (!name.starts_with('.') || !name.ends_with(suffix)) return -1;
  return checkpoint_step(name.substr(1, name.size() - 1 - suffix.size()));
}

bool exists(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0;
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) storage_error("remove", path, error.message());
}

void rename_or_fail(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) storage_error("rename a folder to", to, std::strerror(errno));
}

/// Makes a folder and those above it; each is on the disk, by its entry in the one above.
void make_folders(const fs::path& path) {
  std::error_code error;
  const bool there = fs::is_directory(path, error);
  const fs::path parent = path.parent_path();
  if (!there) {
    if (!fs::is_directory(parent, error)) make_folders(parent);
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      storage_error("make the folder", path.string(), std::strerror(errno));
    }
  }
  // A killed process may have made it and not come to this; above a folder of someone else we may be not allowed to.
  if (!there || ::access(parent.c_str(), R_OK) == 0) sync_folder(parent.string());
}

void write_manifest(const std::string& path, const std::string& text) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) storage_error("create", path, std::strerror(errno));
  write_all(file.get(), text, path);
  sync_file(file, path);
  if (file.close() != 0) storage_error("close", path, std::strerror(errno));
}

/// What is about to be published must be what a reader takes.
void check_files(const std::string& partial, const CheckpointManifest& manifest) {
  for (const auto& file : manifest.files) {
    const std::string path = partial + "/" + file.name;
    struct stat facts {};
    if (::lstat(path.c_str(), &facts) != 0) storage_error("publish", path, std::strerror(errno));
    if (!S_ISREG(facts.st_mode) || facts.st_size != file.bytes) {
      storage_error("publish", path, fmt::format("it has {} bytes where {} were written", facts.st_size, file.bytes));
    }
  }
}

/// True where the old checkpoint lies under the name of the partial folder now.
bool exchanged(const std::string& partial, const std::string& target) {
  if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) return false;
  storage_error("exchange the old checkpoint with the new one at", target, std::strerror(errno));
}

bool whole(const CheckpointStore::Entry& entry) {
  try {
    return CheckpointReader(entry.path).manifest().step == entry.step;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::vector<CheckpointStore::Entry> CheckpointStore::list() const {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::int64_t step = checkpoint_step(it->path().filename().string());
    std::error_code ignored;
    if (step >= 0 && it->is_directory(ignored)) entries.push_back({step, published(folder_, step)});
  }
  if (error && error != std::errc::no_such_file_or_directory) storage_error("list", folder_, error.message());
  std::ranges::sort(entries, {}, &Entry::step);
  return entries;
}

std::string CheckpointStore::begin(std::int64_t step) const {
  require(step >= 0, "a checkpoint of step {} has no name", step);
  fs::path folder = fs::absolute(folder_).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  make_folders(folder);
  const std::string partial = hidden(folder_, step, partial_suffix);
  remove_tree(partial);
  if (::mkdir(partial.c_str(), 0700) != 0) storage_error("make the folder", partial, std::strerror(errno));
  return partial;
}

std::string CheckpointStore::commit(const CheckpointManifest& manifest) const {
  const std::string partial = hidden(folder_, manifest.step, partial_suffix);
  const std::string target = published(folder_, manifest.step);
  const std::string text = manifest.to_text();
  if (static_cast<std::int64_t>(text.size()) > largest_manifest) {
    storage_error("publish", target, fmt::format("its manifest has {} bytes", text.size()));
  }
  CheckpointManifest::parse(text, partial + "/" + manifest_file);
  check_files(partial, manifest);
  write_manifest(partial + "/" + manifest_file, text);
  sync_folder(partial);
  const bool replaces = exists(target);
  const std::string replaced = hidden(folder_, manifest.step, replaced_suffix);
  if (replaces && !exchanged(partial, target)) {
    remove_tree(replaced);
    rename_or_fail(target, replaced);
    rename_or_fail(partial, target);
  } else if (!replaces) {
    rename_or_fail(partial, target);
  }
  sync_folder(folder_);
  // What stays here because it cannot be removed, clean() tries again; the new checkpoint is there.
  std::error_code ignored;
  if (replaces) fs::remove_all(partial, ignored);
  if (replaces) fs::remove_all(replaced, ignored);
  return target;
}

void CheckpointStore::abandon(std::int64_t step) const noexcept {
  try {
    std::error_code ignored;
    fs::remove_all(hidden(folder_, step, partial_suffix), ignored);
  } catch (...) {  // no memory for a name: clean() removes it later
  }
}

std::vector<std::int64_t> CheckpointStore::prune(const KeepRule& rule) const {
  const auto entries = list();
  const auto kept = static_cast<std::size_t>(std::max(rule.last, always_kept));
  if (entries.size() <= kept) return {};
  if (!whole(entries.back()) || !whole(entries[entries.size() - 2])) return {};
  std::vector<std::int64_t> removed;
  for (const auto& entry : std::span(entries).first(entries.size() - kept)) {
    if (rule.every > 0 && entry.step % rule.every == 0) continue;
    const std::string trash = hidden(folder_, entry.step, trash_suffix);
    remove_tree(trash);
    rename_or_fail(entry.path, trash);
    removed.push_back(entry.step);
  }
  // The names must be gone from the disk before the first file is: a folder that has its name is whole.
  if (!removed.empty()) sync_folder(folder_);
  for (const std::int64_t step : removed) remove_tree(hidden(folder_, step, trash_suffix));
  return removed;
}

void CheckpointStore::clean() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) storage_error("list", folder_, error.message());
  for (const auto& name : names) {
    const std::int64_t step = hidden_step(name, replaced_suffix);
    if (step < 0 || exists(published(folder_, step))) continue;
    // Killed between the two renames of a commit: the old one gets its name back.
    rename_or_fail(folder_ + "/" + name, published(folder_, step));
    sync_folder(folder_);
  }
  for (const auto& name : names) {
    for (const auto suffix : {partial_suffix, trash_suffix, replaced_suffix}) {
      if (hidden_step(name, suffix) >= 0) remove_tree(folder_ + "/" + name);
    }
  }
}

}  // namespace trireme
