#include "launcher/job/rank_watch.hpp"

#include <cxxabi.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <new>
#include <sstream>

#include "comm/collective_log.hpp"

namespace trireme {
namespace {

constexpr double stack_patience_seconds = 1.5;

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// State and CPU time of a process or thread; its name, in brackets, may hold anything.
struct ProcessFacts {
  char state = '?';
  double processor = 0;
};

ProcessFacts facts_of(const std::string& folder) {
  const std::string line = first_line_of(folder + "/stat");
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(line.substr(name_end + 1));
  ProcessFacts out;
  fields >> out.state;
  std::string skipped;
  for (int k = 0; k < 10; ++k) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  out.processor = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return out;
}

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> out;
  std::error_code error;
  std::filesystem::directory_iterator entry(fmt::format("/proc/{}/task", process), error), end;
  for (; !error && entry != end; entry.increment(error)) out.push_back(std::atoi(entry->path().filename().c_str()));
  std::ranges::sort(out);
  return out;
}

double seconds(std::int64_t from, std::int64_t to) { return static_cast<double>(to - from) * 1e-9; }

/// "train(_ZN7trireme4Tape4walkEv+0x12) [0x55]" with the name as a person writes it.
std::string readable(const std::string& frame) {
  const std::size_t open = frame.find('('), plus = frame.find('+', open);
  if (open == std::string::npos || plus == std::string::npos || plus == open + 1) return frame;
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(frame.substr(open + 1, plus - open - 1).c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? frame.substr(0, open + 1) + name.get() + frame.substr(plus) : frame;
}

/// The lines below each "thread N".
std::map<pid_t, std::vector<std::string>> stacks_by_thread(const std::string& text) {
  std::map<pid_t, std::vector<std::string>> out;
  std::istringstream lines(text);
  pid_t thread = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("thread ")) {
      thread = std::atoi(line.c_str() + 7);
      out[thread].clear();
    } else if (thread != 0) {
      out[thread].push_back(readable(line));
    }
  }
  return out;
}

}  // namespace

RankWatch::RankWatch(std::string host) : host_(std::move(host)), changed_(monotonic_ns()) {
  ::unsetenv(ProgressPage::variable);
  // Kept open across the start of the program.
  page_file_ = ::memfd_create("trireme-progress", 0);
  stack_file_ = ::memfd_create("trireme-stacks", 0);
  if (page_file_ < 0 || stack_file_ < 0 || ::ftruncate(page_file_, sizeof(ProgressPage)) != 0) return;
  void* memory = ::mmap(nullptr, sizeof(ProgressPage), PROT_READ | PROT_WRITE, MAP_SHARED, page_file_, 0);
  if (memory == MAP_FAILED) return;
  page_ = new (memory) ProgressPage();
  page_->magic.store(ProgressPage::form, std::memory_order_release);
  ::setenv(ProgressPage::variable, fmt::format("{},{}", page_file_, stack_file_).c_str(), 1);
}

RankWatch::~RankWatch() {
  if (page_ != nullptr) ::munmap(page_, sizeof(ProgressPage));
  for (const int file : {page_file_, stack_file_}) {
    if (file >= 0) ::close(file);
  }
}

/// The process that writes the page where it is one of this rank's, else the child.
pid_t RankWatch::program(pid_t child) const {
  const auto writer = page_ == nullptr ? 0 : static_cast<pid_t>(page_->process.load(std::memory_order_relaxed));
  return writer > 0 && ::getpgid(writer) == ::getpgrp() ? writer : child;
}

RankSample RankWatch::look(pid_t child) {
  RankSample out{.host = host_};
  const ProcessFacts facts = facts_of(fmt::format("/proc/{}", program(child)));
  out.state = facts.state;
  out.processor = facts.processor;
  if (page_ == nullptr || page_->process.load() == 0) return out;
  const std::int64_t now = monotonic_ns();
  const std::uint64_t beats = page_->activity.beats.load(std::memory_order_relaxed);
  if (beats != beats_) {
    beats_ = beats;
    changed_ = now;
    processor_ = out.processor;
  }
  out.still_processor = out.processor - processor_;
  out.attached = true;
  out.phase = name_of(static_cast<Phase>(page_->phase.load(std::memory_order_relaxed)));
  out.step = page_->step.load(std::memory_order_relaxed);
  out.still = seconds(changed_, now);
  out.waiting = page_->activity.waiting.load(std::memory_order_relaxed) != 0;
  out.comparing = page_->comparing.load(std::memory_order_relaxed) != 0;
  out.waited = static_cast<double>(page_->activity.waited_ns.load(std::memory_order_relaxed)) * 1e-9;
  out.lived = seconds(page_->attached_ns.load(std::memory_order_relaxed), now);
  out.calls = page_->calls.load(std::memory_order_relaxed);
  for (const ProgressPage::Call& call : page_->recent()) {
    if (call.finished != 0) continue;
    out.call = RankCall::of(call, now);
    break;
  }
  return out;
}

void RankWatch::ask_for_stacks(pid_t process) const {
  const int signal = page_ == nullptr ? 0 : page_->stack_signal.load(std::memory_order_relaxed);
  if (signal == 0 || process != page_->process.load()) return;
  const std::uint64_t before = page_->stacks.load(std::memory_order_acquire);
  std::uint64_t asked = 0;
  for (const pid_t thread : threads_of(process)) asked += ::syscall(SYS_tgkill, process, thread, signal) == 0 ? 1u : 0u;
  if (facts_of(fmt::format("/proc/{}", process)).state == 'T') ::kill(process, SIGCONT);
  const std::int64_t begin = monotonic_ns();
  while (page_->stacks.load(std::memory_order_acquire) < before + asked &&
         seconds(begin, monotonic_ns()) < stack_patience_seconds)
    ::usleep(2000);
}

std::string RankWatch::stack_text() const {
  struct stat facts {};
  if (stack_file_ < 0 || ::fstat(stack_file_, &facts) != 0) return {};
  std::string out(static_cast<std::size_t>(std::clamp<off_t>(facts.st_size, 0, off_t{1} << 20)), '\0');
  const ssize_t got = ::pread(stack_file_, out.data(), out.size(), 0);
  out.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return out;
}

Json RankWatch::threads(pid_t process, const std::string& stacks) const {
  const auto frames = stacks_by_thread(stacks);
  Json out = Json::array();
  for (const pid_t thread : threads_of(process)) {
    const std::string folder = fmt::format("/proc/{}/task/{}", process, thread);
    Json one{{"thread", thread},
             {"name", first_line_of(folder + "/comm")},
             {"state", std::string(1, facts_of(folder).state)},
             {"kernel", first_line_of(folder + "/wchan")}};
    const auto known = frames.find(thread);
    one["stack"] = known == frames.end() ? std::vector<std::string>{} : known->second;
    out.push_back(std::move(one));
  }
  return out;
}

Json RankWatch::report(pid_t child) {
  Json out = to_json(look(child));
  const pid_t process = program(child);
  out["process"] = process;
  Json calls = Json::array();
  const std::int64_t now = monotonic_ns();
  const auto ago = [&](std::int64_t time) { return time == 0 ? Json() : Json(seconds(time, now)); };
  if (page_ != nullptr) {
    for (const ProgressPage::Call& call : page_->recent()) {
      const RankCall shown = RankCall::of(call, now);
      calls.push_back({shown.communicator, shown.sequence, shown.operation, shown.dtype, shown.count, call.root,
                       name_of(call.phase), ago(call.queued), ago(call.started), ago(call.finished)});
    }
  }
  out["calls_kept"] = std::move(calls);
  ask_for_stacks(process);
  out["threads"] = threads(process, stack_text());
  return out;
}

std::vector<std::string> call_columns() {
  return {"communicator", "sequence", "operation",  "dtype",       "count",
          "root",         "phase",    "queued_ago", "started_ago", "finished_ago"};
}

}  // namespace trireme
