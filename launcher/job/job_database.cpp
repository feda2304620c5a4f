// Names of SQLite's own results stay in this file; a row is read as distrustfully as a file.
#include "launcher/job/job_database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"

namespace trireme {
namespace {

/// The form of the table; a file says by user_version which one it has.
constexpr int table_version = 1;
/// Transactions take milliseconds; a disk may stall for seconds.
constexpr int patience_milliseconds = 60000;

constexpr const char* table =
    "CREATE TABLE jobs ("
    " job INTEGER PRIMARY KEY,"
    " place INTEGER NOT NULL UNIQUE,"  // order of submission
    " state TEXT NOT NULL,"            // job_state.hpp
    " hosts TEXT NOT NULL,"            // where it may run, "a:4,b:4"; empty: this machine
    " nodes INTEGER NOT NULL,"
    " ranks_per_node INTEGER NOT NULL,"
    " seconds REAL NOT NULL,"  // time limit, 0: none
    " placed REAL,"            // since when it has its slots; NULL: it waits
    " placement TEXT)";        // on which of the hosts, "a:4,b:4"

/// Files of the same form that were made earlier lack it; who does not know it does not miss it.
constexpr const char* lost_table = "CREATE TABLE IF NOT EXISTS lost (host TEXT PRIMARY KEY, until REAL NOT NULL)";

constexpr const char* unended = "json_extract(state, '$.phase') NOT IN ('done', 'failed', 'cancelled')";

void refuse_network_folder(const std::string& folder, const std::string& path) {
  struct statfs facts {};
  if (::statfs(folder.c_str(), &facts) != 0) {
    fail(ExitCode::storage, "cannot look at the folder '{}' of jobs: {}", folder, std::strerror(errno));
  }
  const std::string name = network_file_system(static_cast<std::uint64_t>(facts.f_type) & 0xffffffffu);
  if (name.empty()) return;
  fail(
      ExitCode::usage,
      "the queue of jobs cannot be kept in '{}': it lies on a network file system ({}), and wants a disk of this host; "
      "set XDG_STATE_HOME to a folder on one (jobs of Slurm may stay here)",
      path, name);
}

std::vector<std::string> hosts_of(const std::string& hosts) {
  std::vector<std::string> names;
  for (const HostSlots& host : read_hosts(hosts)) names.push_back(host.name);
  return names;
}

/// Those of `on`, in the order of the job's list.
std::string placement_text(const SlotRequest& request, const std::vector<std::string>& on) {
  std::vector<HostSlots> hosts;
  for (const HostSlots& host : request.hosts) {
    if (std::ranges::find(on, host.name) != on.end()) hosts.push_back(host);
  }
  return host_list(hosts, request.ranks_per_node);
}

}  // namespace

/// One statement and its values; an error of SQLite is one of the data base.
class JobDatabase::Statement {
 public:
  Statement(const JobDatabase& owner, const std::string& sql) : owner_(owner) {
    check(::sqlite3_prepare_v2(owner.database_.get(), sql.c_str(), -1, &statement_, nullptr));
  }
  ~Statement() { ::sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& with(std::int64_t value) {
    check(::sqlite3_bind_int64(statement_, ++bound_, value));
    return *this;
  }
  Statement& with(double value) {
    check(::sqlite3_bind_double(statement_, ++bound_, value));
    return *this;
  }
  Statement& with(const std::string& value) {
    check(::sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT));
    return *this;
  }
  /// True where there is a (further) row.
  bool next() {
    const int result = ::sqlite3_step(statement_);
    if (result != SQLITE_ROW && result != SQLITE_DONE) owner_.refuse("use");
    return result == SQLITE_ROW;
  }
  std::int64_t number(int column) { return ::sqlite3_column_int64(statement_, column); }
  double real(int column) { return ::sqlite3_column_double(statement_, column); }
  bool is_null(int column) { return ::sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string text(int column) {
    const auto* bytes = reinterpret_cast<const char*>(::sqlite3_column_text(statement_, column));
    return bytes == nullptr ? ""
                            : std::string(bytes, static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column)));
  }

 private:
  void check(int result) const {
    if (result != SQLITE_OK) owner_.refuse("use");
  }
  const JobDatabase& owner_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// Takes the right to write at once: two that read first and then wrote would each wait for the other.
class JobDatabase::Transaction {
 public:
  explicit Transaction(JobDatabase& owner) : owner_(owner) { owner_.run("BEGIN IMMEDIATE"); }
  ~Transaction() {
    if (!done_) ::sqlite3_exec(owner_.database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    owner_.run("COMMIT");
    done_ = true;
  }

 private:
  JobDatabase& owner_;
  bool done_ = false;
};

void JobDatabase::Close::operator()(sqlite3* database) const { ::sqlite3_close(database); }

JobDatabase::JobDatabase(const std::string& folder) : folder_(folder), path_(folder + "/jobs.db") { open(); }
JobDatabase::~JobDatabase() = default;

bool JobDatabase::is_in(const std::string& folder) {
  std::error_code ignored;
  return std::filesystem::exists(folder + "/jobs.db", ignored);
}

void JobDatabase::open() {
  refuse_network_folder(folder_, path_);
  sqlite3* opened = nullptr;
  const mode_t usual = ::umask(0077);
  const int result = ::sqlite3_open_v2(path_.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  ::umask(usual);
  database_.reset(opened);
  if (result != SQLITE_OK) refuse("open");
  ::sqlite3_busy_timeout(opened, patience_milliseconds);
  run("PRAGMA synchronous = EXTRA");
  const std::int64_t found = version();
  if (found > table_version) {
    fail(ExitCode::usage, "the data base of jobs '{}' was made by a newer trireme (form {}, known here: {})", path_,
         found, table_version);
  }
  const auto has_all = [&] { return Statement(*this, "SELECT 1 FROM sqlite_master WHERE name = 'lost'").next(); };
  if (found < table_version || !has_all()) make_tables();
}

/// A look that is over when it returns: who still reads is refused the right to write at once, instead of waiting.
std::int64_t JobDatabase::version() const {
  Statement row(*this, "PRAGMA user_version");
  return row.next() ? row.number(0) : 0;
}

void JobDatabase::make_tables() {
  Transaction transaction(*this);
  // Another process may have made it just now.
  if (version() < table_version) run(table);
  run(lost_table);
  run(fmt::format("PRAGMA user_version = {}", table_version).c_str());
  transaction.commit();
}

void JobDatabase::run(const char* sql) {
  if (::sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) refuse("use");
}

void JobDatabase::refuse(const char* what) const {
  const int code = ::sqlite3_errcode(database_.get()) & 0xff;
  const std::string said = ::sqlite3_errmsg(database_.get());
  // What is not JSON, or not the table that was made, is damage, too.
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR || code == SQLITE_CONSTRAINT) {
    fail(ExitCode::corrupt_input,
         "the data base of jobs '{}' is damaged ({}): move it away; the jobs' folders beside it stay, and their runs "
         "go on from their checkpoints when they are submitted again",
         path_, said);
  }
  fail(ExitCode::storage, "cannot {} the data base of jobs '{}': {}", what, path_, said);
}

void JobDatabase::submit(const SlotRequest& request, const JobState& state) {
  const bool here = request.hosts.empty();
  Transaction transaction(*this);
  Statement(*this, "DELETE FROM jobs WHERE job = ?").with(request.job).next();
  Statement(*this,
            "INSERT INTO jobs (job, place, state, hosts, nodes, ranks_per_node, seconds)"
            " SELECT ?, coalesce(max(place), 0) + 1, ?, ?, ?, ?, ? FROM jobs")
      .with(request.job)
      .with(to_json_text(state))
      .with(host_list(request.hosts, request.ranks_per_node))
      .with(request.nodes)
      .with(request.ranks_per_node)
      .with(request.seconds)
      .next();
  if (here) {
    Statement(*this, "UPDATE jobs SET placed = ?, placement = '' WHERE job = ?")
        .with(seconds_since_1970())
        .with(request.job)
        .next();
  }
  place_in_transaction();
  transaction.commit();
}

std::optional<JobState> JobDatabase::state(std::int64_t job) const {
  Statement row(*this, "SELECT state FROM jobs WHERE job = ?");
  if (!row.with(job).next()) return std::nullopt;
  return job_state_from(row.text(0), fmt::format("{}, job {}", path_, job));
}

void JobDatabase::write(std::int64_t job, const JobState& state) {
  Transaction transaction(*this);
  Statement(*this, "UPDATE jobs SET state = ? WHERE job = ?").with(to_json_text(state)).with(job).next();
  if (::sqlite3_changes(database_.get()) != 1) {
    fail(ExitCode::usage, "job {} is not in the data base of jobs '{}' (any more)", job, path_);
  }
  if (is_final(state.phase)) place_in_transaction();
  transaction.commit();
}

std::optional<JobPlacement> JobDatabase::placement(std::int64_t job) const {
  Statement row(*this, "SELECT placement, placed FROM jobs WHERE job = ? AND placed IS NOT NULL");
  if (!row.with(job).next()) return std::nullopt;
  return JobPlacement{.hosts = row.text(0), .since = row.real(1)};
}

void JobDatabase::place_waiting() {
  Transaction transaction(*this);
  place_in_transaction();
  transaction.commit();
}

void JobDatabase::leave_out(const LostHost& host) {
  // Most are no news, and need no transaction.
  Statement known(*this, "SELECT until FROM lost WHERE host = ?");
  if ((known.with(host.name).next() ? known.real(0) : 0) == host.until) return;
  Statement(*this, "INSERT OR REPLACE INTO lost (host, until) VALUES (?, ?)").with(host.name).with(host.until).next();
}

void JobDatabase::give_back(std::int64_t job) {
  Transaction transaction(*this);
  Statement(*this, "UPDATE jobs SET placed = NULL, placement = NULL WHERE job = ?").with(job).next();
  place_in_transaction(job);
  transaction.commit();
}

std::optional<JobPlacement> JobDatabase::renew(std::int64_t job, std::int64_t least) {
  Transaction transaction(*this);
  const QueueView view = queue();
  const auto at = std::ranges::find_if(view.placed, [&](const PlacedJob& one) { return one.request.job == job; });
  const std::vector<std::string> on = renewed_place(view, job, least);
  if (!on.empty() && !std::ranges::is_permutation(on, at->on)) {
    Statement(*this, "UPDATE jobs SET placement = ? WHERE job = ?")
        .with(placement_text(at->request, on))
        .with(job)
        .next();
    place_in_transaction();
  }
  transaction.commit();
  return placement(job);
}

void JobDatabase::place_in_transaction(std::int64_t but) {
  Statement(*this, "DELETE FROM lost WHERE until <= ?").with(seconds_since_1970()).next();
  for (const std::int64_t job : unfinished()) {
    std::error_code error;
    const bool there = std::filesystem::exists(fmt::format("{}/{}", folder_, job), error);
    if (!there && !error) Statement(*this, "DELETE FROM jobs WHERE job = ?").with(job).next();
  }
  QueueView view = queue();
  std::erase_if(view.waiting, [&](const SlotRequest& one) { return one.job == but; });
  for (const PlacedJob& one : plan_queue(view, seconds_since_1970()).starts) {
    Statement(*this, "UPDATE jobs SET placed = ?, placement = ? WHERE job = ?")
        .with(one.since)
        .with(placement_text(one.request, one.on))
        .with(one.request.job)
        .next();
  }
}

QueueView JobDatabase::queue() const {
  QueueView view;
  Statement lost(*this, "SELECT host, until FROM lost WHERE until > ? ORDER BY host");
  lost.with(seconds_since_1970());
  while (lost.next()) view.lost.push_back({.name = lost.text(0), .until = lost.real(1)});
  Statement row(*this, fmt::format("SELECT job, hosts, nodes, ranks_per_node, seconds, placed, placement FROM jobs"
                                   " WHERE hosts <> '' AND {} ORDER BY place",
                                   unended));
  while (row.next()) {
    SlotRequest request{.job = row.number(0),
                        .hosts = read_hosts(row.text(1)),
                        .nodes = row.number(2),
                        .ranks_per_node = row.number(3),
                        .seconds = row.real(4)};
    if (row.is_null(5)) {
      view.waiting.push_back(std::move(request));
    } else {
      view.placed.push_back({std::move(request), hosts_of(row.text(6)), row.real(5)});
    }
  }
  return view;
}

std::vector<std::int64_t> JobDatabase::unfinished() const {
  std::vector<std::int64_t> jobs;
  Statement row(*this, fmt::format("SELECT job FROM jobs WHERE {} ORDER BY job", unended));
  while (row.next()) jobs.push_back(row.number(0));
  return jobs;
}

std::string network_file_system(std::uint64_t magic) {
  struct Known {
    std::uint64_t magic;
    const char* name;
  };
  // From linux/magic.h and the sources of those that are not in Linux.
  constexpr Known known[] = {
      {0x6969, "NFS"},          {0x517b, "SMB"},        {0xff534d42, "CIFS"},
      {0xfe534d42, "SMB"},      {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},
      {0x19830326, "BeeGFS"},   {0x65735546, "FUSE"},   {0x00c36400, "Ceph"},
      {0x5346414f, "AFS"},      {0x6b414653, "AFS"},    {0x01021997, "9p"},
      {0x73757245, "Coda"},     {0x7461636f, "OCFS2"},  {0x01161970, "GFS2"},
      {0x20030528, "OrangeFS"}, {0xaad7aaea, "PanFS"},  {0x786f4256, "VirtualBox's shared folder"},
  };
  const auto at = std::ranges::find_if(known, [&](const Known& one) { return one.magic == magic; });
  return at == std::end(known) ? "" : at->name;
}

std::string sqlite_version() { return ::sqlite3_libversion(); }

}  // namespace trireme
