// A folder that appears whole or not at all: it is filled under a hidden name next to the target and renamed at the
// end. Whoever is killed on the way leaves the old target (or none) and the hidden folder, which the next attempt
// empties.
#pragma once

#include <filesystem>
#include <string>

namespace trireme {

enum class Existing { refuse, replace };

/// Whether a folder is a data set, as far as its index says.
bool is_dataset(const std::filesystem::path& folder);

/// What is made, in messages, and which folders of that name may be replaced.
struct StagedKind {
  const char* what = "data set";
  const char* option = "--out";
  const char* action = "import";
  bool (*is_one)(const std::filesystem::path&) = is_dataset;
};

class StagedFolder {
 public:
  /// Makes PARENT/.NAME.partial for target PARENT/NAME and locks it. ExitCode::usage when the target exists and may not
  /// be replaced (never anything that is not of this kind), or when another process is filling the same folder.
  StagedFolder(const std::string& target, Existing existing, const StagedKind& kind = {});
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::string& path() const { return staging_; }
  /// Puts the folder in its place. The files in it must be on the disk already.
  void publish();

 private:
  void check_target() const;
  void lock();
  void exchange_with_target();

  std::string target_, parent_, staging_, replaced_;
  Existing existing_;
  StagedKind kind_;
  int lock_ = -1;
};

}  // namespace trireme
