// One process at a time writes into a run folder. The lock is the kernel's, on FOLDER/lock: it ends with its holder,
// whatever kills that, and other hosts see it where the file system shares locks. The text in the file only says who
// the holder is; a text without a lock is that of a dead one and means nothing. The file stays for good.
#pragma once

#include <optional>
#include <string>

namespace trireme {

class RunLock {
 public:
  /// Takes the lock or throws Error(usage) that names the holder; never waits. `job` is told to those who come second.
  /// Where the file system has no locks: a warning, and nothing is kept out. Errors: storage.
  RunLock(const std::string& folder, const std::string& job);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  void write_owner(const std::string& job) const;
  int file_ = -1;
};

/// The job as its scheduler calls it: SLURM_JOB_ID, else TRIREME_JOB, else "-".
std::string job_name();

/// Who holds the lock now, as in "process 4711 on host n1 (job 17, since 2026-11-24T08:15:00Z)"; nothing where nobody
/// does. Takes no lock itself, so it never keeps a run from starting.
std::optional<std::string> run_owner(const std::string& folder);

}  // namespace trireme
