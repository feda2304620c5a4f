// How jobs of this machine and of host lists stand, and the queue for their slots: FOLDER/jobs.db, one row a job, on a
// local disk of the host where they are submitted; beside them the hosts that were lost a short while ago. Each change
// is one transaction: a job that ends gives its slots to those that waited for them in the same write. SQLite with a
// rollback journal that is synchronised fully: whatever is killed, and if the power goes, a change is there whole or
// not at all. (A write-ahead log would be a second file that a copy of the first forgets, for readers that are few.)
// What is not in here lies in the jobs' own folders; jobs of Slurm are not in here at all, since their hosts would have
// to open it through a network.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/job/job_queue.hpp"
#include "launcher/job/job_state.hpp"

struct sqlite3;

namespace trireme {

struct JobPlacement {
  std::string hosts = {};  // those of its list that it got: "a:4,b:4"; empty: this machine
  double since = 0;
};

class JobDatabase {
 public:
  /// Opens it, and makes it on first use; `folder` is that of the jobs and must be there. Errors: usage on a network
  /// file system and for a file of a newer version, corrupt_input where it is damaged, storage; all name the file.
  explicit JobDatabase(const std::string& folder);
  static bool is_in(const std::string& folder);
  ~JobDatabase();
  JobDatabase(const JobDatabase&) = delete;
  JobDatabase& operator=(const JobDatabase&) = delete;

  /// A new job, or a known one again, at the end of the queue. Without hosts it is placed at once, on this machine.
  void submit(const SlotRequest& request, const JobState& state);
  /// Nothing where there is no such job.
  std::optional<JobState> state(std::int64_t job) const;
  /// A final phase frees the slots, and whoever waited for them is placed. Usage error where there is no such job.
  void write(std::int64_t job, const JobState& state);
  /// Nothing while it waits.
  std::optional<JobPlacement> placement(std::int64_t job) const;
  /// Places what fits, and forgets jobs whose folders were removed.
  void place_waiting();
  /// Until then (seconds since 1970) jobs get that host only where they could not run without it; 0: it is as others.
  void leave_out(const LostHost& host);
  /// Gives a placed job other hosts for lost ones, or fewer (renewed_place of job_queue.hpp), in the same write in
  /// which those that it loses go to jobs that wait. Its place from now on; nothing while it waits.
  std::optional<JobPlacement> renew(std::int64_t job, std::int64_t least);
  /// The job waits again, at its old place in the line, and its slots go to others if they want them now.
  void give_back(std::int64_t job);
  QueueView queue() const;
  /// The jobs that have not ended.
  std::vector<std::int64_t> unfinished() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  class Statement;
  class Transaction;

  void open();
  std::int64_t version() const;
  void make_tables();
  /// All that wait and fit, but for one.
  void place_in_transaction(std::int64_t but = 0);
  void run(const char* sql);
  [[noreturn]] void refuse(const char* what) const;

  std::string folder_, path_;
  std::unique_ptr<sqlite3, Close> database_;
};

/// The name of a file system that hosts share over a network, by its number in statfs(2); empty for others.
std::string network_file_system(std::uint64_t magic);

std::string sqlite_version();

}  // namespace trireme
