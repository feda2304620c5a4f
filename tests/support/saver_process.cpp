#include "tests/support/saver_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto patience = std::chrono::seconds(60);
const std::string saver = TRIREME_BINARY_DIR "/tests/checkpoint_saver";
const std::string shim = TRIREME_BINARY_DIR "/tests/io_shim.so";

/// Memory is a disk for these tests, and fsync costs nothing there.
fs::path scratch_parent() {
  const fs::path memory = "/dev/shm";
  std::error_code error;
  const bool roomy = fs::space(memory, error).available > (std::uintmax_t{32} << 20) && !error;
  return roomy && ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
}

[[noreturn]] void become_saver(const SaverOrder& order, int errors) {
  ::dup2(errors, STDERR_FILENO);
  rlimit limit{order.file_limit, order.file_limit};
  if (order.file_limit != RLIM_INFINITY) {
    // The signal's default would end the process before it can say what is wrong.
    ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  for (const std::string& setting : order.shim) ::putenv(const_cast<char*>(setting.c_str()));
  if (!order.shim.empty()) ::setenv("LD_PRELOAD", shim.c_str(), 1);
  const std::string step = std::to_string(order.sample.step), samples = std::to_string(order.sample.samples);
  const char* const clean = order.start == Start::clean ? "clean" : nullptr;
  ::execl(saver.c_str(), saver.c_str(), order.folder.c_str(), step.c_str(), samples.c_str(), clean, nullptr);
  ::_exit(126);
}

/// What comes through `pipe` until it is closed; false where that does not happen in time.
bool read_until_closed(int pipe, std::string& text) {
  const auto end = Clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd wanted{pipe, POLLIN, 0};
    if (left <= 0 || ::poll(&wanted, 1, static_cast<int>(left)) == 0) return false;
    char piece[4096];
    const ssize_t got = ::read(pipe, piece, sizeof piece);
    if (got <= 0) return true;
    text.append(piece, static_cast<std::size_t>(got));
  }
}

}  // namespace

SaverEnd run_saver(const SaverOrder& order) {
  int ends[2];
  require(::pipe2(ends, O_CLOEXEC) == 0, "making a pipe failed");
  const pid_t child = ::fork();
  require(child >= 0, "starting {} failed", saver);
  if (child == 0) become_saver(order, ends[1]);
  ::close(ends[1]);
  SaverEnd end;
  const bool ended = read_until_closed(ends[0], end.message);
  if (!ended) ::kill(child, SIGKILL);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  end.code = !ended ? SaverEnd::hung : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return end;
}

std::vector<SaveCase> save_cases() {
  const Sample one{1, 100}, two{2, 200}, other_two{2, 222}, three{3, 300};
  std::vector<SaveCase> cases{{.name = "first", .before = {}, .next = one, .always = {}},
                              {.name = "second", .before = {one}, .next = two, .always = {one}},
                              {.name = "with_removal", .before = {one, two}, .next = three, .always = {two}},
                              {.name = "same_step", .before = {one, two}, .next = other_two, .always = {one}}};
  const SaveCase second = cases[1], with_removal = cases[2], same_step = cases[3];
  cases.push_back(same_step);
  cases.back().name = "same_step_without_exchange";
  cases.back().exchange = Exchange::missing;
  cases.push_back(second);
  cases.back().name = "after_a_kill";
  cases.back().leftovers = Leftovers::partial;
  cases.push_back(with_removal);
  cases.back().name = "after_a_kill_without_exchange";
  cases.back().leftovers = Leftovers::replaced;
  return cases;
}

namespace {

/// All that are listed, or in `problem` what is wrong with one of them.
std::vector<Sample> find_samples(const std::string& folder, const SaveCase& save, std::string& problem) {
  std::vector<Sample> found;
  for (const auto& entry : CheckpointStore(folder).list()) {
    const FoundSample here = find_sample(entry.path);
    const bool known = here.sample == save.next || std::ranges::count(save.before, here.sample) == 1;
    if (!here.problem.empty()) {
      problem = fmt::format("{} is listed and not whole: {}", entry.path, here.problem);
    } else if (!known) {
      problem = fmt::format("{} holds {}, which nobody saved", entry.path, here.sample.text());
    }
    found.push_back(here.sample);
  }
  return found;
}

}  // namespace

std::string broken_promise(const std::string& folder, const SaveCase& save, Moment moment) {
  std::string problem;
  std::vector<Sample> found = find_samples(folder, save, problem);
  if (problem.empty() && save.promised_after_clean()) {
    CheckpointStore(folder).clean();
    found = find_samples(folder, save, problem);
  }
  if (!problem.empty()) return problem;
  const Sample* const newest = found.empty() ? nullptr : &found.back();
  if (moment == Moment::saved && (newest == nullptr || *newest != save.next)) return "the new one is lost";
  if (!save.before.empty() && newest == nullptr) return "none is left";
  if (newest != nullptr && *newest != save.next && *newest != save.before.back()) {
    return fmt::format("the newest is {}, neither old nor new", newest->text());
  }
  for (const Sample& kept : save.always) {
    if (std::ranges::count(found, kept) != 1) return fmt::format("{} is lost", kept.text());
  }
  return "";
}

SaveStage::SaveStage(const SaveCase& save) : save_(save), scratch_(scratch_parent()) {
  fs::create_directories(run());
  const CheckpointStore store(checkpoints());
  for (const Sample& sample : save_.before) save_sample(store, sample);
  if (save_.leftovers == Leftovers::partial) {
    const std::string left = store.begin(save_.next.step);
    write_file_atomically(left + "/rank_0.h5", "half of it");
    write_file_atomically(left + "/" + manifest_file, "{");
  }
  if (save_.leftovers == Leftovers::replaced) {
    const std::string newest = checkpoint_name(save_.before.back().step);
    fs::copy(checkpoints() + "/" + newest, fmt::format("{}/.{}.trash", checkpoints(), checkpoint_name(0)));
    fs::rename(checkpoints() + "/" + newest, fmt::format("{}/.{}.replaced", checkpoints(), newest));
  }
  before_ = read_image(run());
}

SaverEnd SaveStage::run_with(const std::vector<std::string>& shim_settings) const {
  reset();
  return go_on_with(shim_settings, save_.start());
}

SaverEnd SaveStage::go_on_with(const std::vector<std::string>& shim_settings, Start start) const {
  SaverOrder order{.folder = checkpoints(), .sample = save_.next, .start = start, .shim = shim_settings};
  order.shim.push_back("TRIREME_SHIM_ROOT=" + run());
  if (save_.exchange == Exchange::missing) order.shim.push_back("TRIREME_SHIM_NO_EXCHANGE=1");
  return run_saver(order);
}

std::string SaveStage::new_journal() const {
  fs::remove(journal_file());
  return "TRIREME_SHIM_JOURNAL=" + journal_file();
}

std::vector<DiskOperation> SaveStage::journal() const {
  auto operations = read_journal(journal_file());
  const DiskModel model(before_, operations);
  const DiskImage all = model.state(model.size(), [](const auto&) { return DiskModel::Fate{}; });
  require(hash_image(all) == hash_image(read_image(run())), "the journal does not explain what is in {}", run());
  return operations;
}

std::vector<DiskOperation> SaveStage::peaceful_journal() const {
  const SaverEnd end = run_with({new_journal()});
  require(end.code == 0, "the undisturbed save ended with {}: {}", end.code, end.message);
  return journal();
}

}  // namespace trireme
