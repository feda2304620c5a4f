#include "core/base/profile.hpp"

#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/error.hpp"

#ifdef TRIREME_HAS_CUDA
#include <nvtx3/nvToolsExt.h>
#endif

namespace trireme {
namespace profile::detail {
std::atomic<bool> enabled{false};
}

namespace {

struct Span {
  const char* name;
  ProfileSpan::Kind kind;
  std::int64_t start, end;
};

struct ThreadSpans {
  std::mutex guard;
  std::string name;
  std::vector<Span> spans;
  std::int64_t busy = 0;
  int depth = 0;
};

std::mutex registry_guard;
std::vector<std::shared_ptr<ThreadSpans>> registry;

ThreadSpans& of_thread() {
  thread_local const std::shared_ptr<ThreadSpans> mine = [] {
    auto made = std::make_shared<ThreadSpans>();
    const std::lock_guard lock(registry_guard);
    registry.push_back(made);
    return made;
  }();
  return *mine;
}

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool is_busy(ProfileSpan::Kind kind) { return kind == ProfileSpan::Kind::kernel || kind == ProfileSpan::Kind::library; }

}  // namespace

void ProfileSpan::begin(const char* name, Kind kind) {
  name_ = name;
  kind_ = kind;
  if (is_busy(kind)) ++of_thread().depth;
#ifdef TRIREME_HAS_CUDA
  nvtxRangePushA(name);  // the same names in NVIDIA's profilers; costs nothing where none is attached
#endif
  start_ = now();
}

void ProfileSpan::end() {
  const std::int64_t finish = now();
#ifdef TRIREME_HAS_CUDA
  nvtxRangePop();
#endif
  ThreadSpans& mine = of_thread();
  const std::lock_guard lock(mine.guard);
  mine.spans.push_back({name_, kind_, start_, finish});
  if (is_busy(kind_) && --mine.depth == 0) mine.busy += finish - start_;
}

namespace profile {

void start() {
  const std::lock_guard lock(registry_guard);
  for (const auto& thread : registry) {
    const std::lock_guard inner(thread->guard);
    thread->spans.clear();
    thread->busy = 0;
  }
  detail::enabled = true;
}

void stop() { detail::enabled = false; }

void name_thread(std::string name) {
  ThreadSpans& mine = of_thread();
  const std::lock_guard lock(mine.guard);
  mine.name = std::move(name);
}

double busy_seconds() {
  ThreadSpans& mine = of_thread();
  const std::lock_guard lock(mine.guard);
  return static_cast<double>(mine.busy) * 1e-9;
}

void write(const std::string& path, int process) {
  constexpr const char* kinds[] = {"phase", "op", "kernel", "library", "communication", "data"};
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) fail(ExitCode::storage, "writing the trace {}: the file cannot be created", path);
  fmt::print(file.get(), "[\n");
  const std::lock_guard lock(registry_guard);
  const char* comma = "";
  for (std::size_t t = 0; t < registry.size(); ++t) {
    const std::lock_guard inner(registry[t]->guard);
    fmt::print(file.get(), R"({}{{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":"{}"}}}})", comma,
               process, t, registry[t]->name.empty() ? "thread" : registry[t]->name);
    comma = ",\n";
    for (const Span& s : registry[t]->spans)
      fmt::print(file.get(), R"({}{{"ph":"X","name":"{}","cat":"{}","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f}}})",
                 comma, s.name, kinds[static_cast<std::size_t>(s.kind)], process, t,
                 static_cast<double>(s.start) * 1e-3, static_cast<double>(s.end - s.start) * 1e-3);
  }
  fmt::print(file.get(), "\n]\n");
  if (std::fflush(file.get()) != 0) fail(ExitCode::storage, "writing the trace {}: the disk is full or failed", path);
}

}  // namespace profile
}  // namespace trireme
