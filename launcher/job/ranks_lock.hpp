// Never two sets of ranks of one job: the runner takes this lock before a start and hands it to `trireme launch`, from
// which mpirun inherits it. The kernel frees it when the last of them is gone, whatever ended them; until then a later
// runner waits. The ranks themselves do not inherit it: mpirun closes what it has open before it starts them. Those on
// this machine that outlive a killed mpirun, which takes them up to two seconds, are known by their wrappers' command
// lines; those on other hosts take as long, and the pause before a restart covers them.
#pragma once

#include <string>

namespace trireme {

class RanksLock {
 public:
  /// FOLDER/ranks/lock of a job's folder, made on first use. Takes nothing yet. Errors: storage.
  explicit RanksLock(const std::string& job_folder);
  ~RanksLock();
  RanksLock(const RanksLock&) = delete;
  RanksLock& operator=(const RanksLock&) = delete;

  /// False while somebody of an earlier start holds it, or is left of one on this machine.
  bool try_take();
  /// Programs that this process starts from now on hold it, too.
  void let_inherit();
  /// Kills those, as far as they run on this machine. For those that do not end when they are asked to.
  void kill_holders() const;

 private:
  std::string path_, wrapper_;
  int file_ = -1;
};

}  // namespace trireme
