// What checkpoints cost: saving and loading against writing with fsync and reading of the same bytes, the time an
// asynchronous save holds the training up against one copy of the memory, and the size of the files against that of
// the state. Peers run in turns. Arguments: a folder on the disk to be measured, MiB of state.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "comm/self_communicator.hpp"
#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "launcher/run/checkpoint_load.hpp"
#include "launcher/run/checkpointer.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

namespace fs = std::filesystem;

constexpr int rounds = 9;

/// Parameters and two moments of a network with large and small tensors.
std::vector<NamedTensor> state_of(std::int64_t bytes) {
  std::vector<NamedTensor> out;
  const std::int64_t matrix = bytes / 3 / 12 / 4;
  for (const std::string plane : {"param", "moment1", "moment2"})
    for (int layer = 0; layer < 12; ++layer)
      for (const auto& [name, count] : {std::pair<std::string, std::int64_t>{"weight", matrix}, {"bias", 1024}}) {
        const Tensor tensor = Tensor::empty({count}, DType::f32);
        std::uint32_t bits = 1;
        for (float& value : tensor.span<float>())
          value = static_cast<float>((bits = bits * 1664525U + 1013904223U) >> 8);
        out.push_back({plane, fmt::format("{}.{}", layer, name), {count}, tensor});
      }
  return out;
}

std::size_t bytes_of(const std::vector<NamedTensor>& state) {
  std::size_t out = 0;
  for (const NamedTensor& one : state) out += one.tensor.bytes();
  return out;
}

void check(bool ok, const char* what) {
  if (!ok) fail(ExitCode::storage, "the benchmark cannot {}: {}", what, std::strerror(errno));
}

/// The floor of a save: the same bytes into one file, in pieces of 4 MiB, and fsync.
void write_raw(const std::string& path, const std::vector<NamedTensor>& state) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  check(file >= 0, "create its file");
  for (const NamedTensor& one : state) {
    const auto* const from = static_cast<const char*>(one.tensor.raw());
    for (std::size_t at = 0; at < one.tensor.bytes(); at += 4 << 20)
      write_all(file, {from + at, std::min<std::size_t>(4 << 20, one.tensor.bytes() - at)}, path);
  }
  check(::fsync(file) == 0, "sync its file");
  ::close(file);
}

/// The floor of a load: those bytes into the tensors.
void read_raw(const std::string& path, const std::vector<NamedTensor>& state) {
  const int file = ::open(path.c_str(), O_RDONLY);
  check(file >= 0, "open its file");
  for (const NamedTensor& one : state) {
    auto* const to = static_cast<char*>(one.tensor.raw());
    for (std::size_t at = 0; at < one.tensor.bytes();) {
      const auto got = ::read(file, to + at, std::min<std::size_t>(4 << 20, one.tensor.bytes() - at));
      check(got > 0, "read its file");
      at += static_cast<std::size_t>(got);
    }
  }
  ::close(file);
}

/// Lets the next reading of these files come from the disk.
void forget(const std::string& path) {
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    const int file = ::open(entry.path().c_str(), O_RDONLY);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

CheckpointManifest head_of(std::int64_t step) {
  CheckpointManifest head;
  head.step = step;
  head.ranks = 1;
  head.version = TRIREME_VERSION;
  head.created = "2026-01-01T00:00:00Z";
  head.options = Json::object();
  head.trainer = Json::object();
  return head;
}

struct Times {
  std::vector<double> ours, floor;
  void report_as(const std::string& name) {
    report(name, "s", Samples::of(ours));
    report(name + " floor", "s", Samples::of(floor));
  }
};

double seconds_of(const std::function<void()>& call) {
  const double start = now();
  call();
  return now() - start;
}

/// Removes what the last round left, so that all rounds write into fresh blocks.
void fresh(const std::string& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
}

void save_and_load(const std::string& folder, const std::vector<NamedTensor>& state) {
  const auto self = std::make_shared<SelfCommunicator>();
  Times save, hot, cold;
  for (int round = 0; round <= rounds; ++round) {
    fresh(folder);
    const auto raw = [&] { return seconds_of([&] { write_raw(folder + "/raw/file", state); }); };
    fs::create_directories(folder + "/raw");
    Checkpointer checkpointer(self, {.folder = folder + "/checkpoints"});
    double floor = round % 2 == 0 ? raw() : 0;
    std::string path;
    const double ours = seconds_of([&] {
      const auto report = checkpointer.begin(head_of(1), state);
      require(report->error.empty(), "a save failed: {}", report->error);
      path = report->path;
    });
    if (round % 2 == 1) floor = raw();
    const auto read = [&](Times& times) {
      const double of_floor = seconds_of([&] { read_raw(folder + "/raw/file", state); });
      const double of_ours = seconds_of([&] { load_newest(*self, {path}, state); });
      if (round == 0) return;
      times.floor.push_back(of_floor);
      times.ours.push_back(of_ours);
    };
    read(hot);
    forget(folder);
    read(cold);
    if (round == 0) continue;
    save.ours.push_back(ours);
    save.floor.push_back(floor);
  }
  save.report_as("save");
  hot.report_as("load");
  cold.report_as("load cold");
  double files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/checkpoints"))
    if (entry.is_regular_file()) files += static_cast<double>(entry.file_size());
  report("file bytes / state bytes", "", Samples::of({files / static_cast<double>(bytes_of(state))}));
}

void stall(const std::string& folder, const std::vector<NamedTensor>& state) {
  fresh(folder);
  Times times;
  Checkpointer checkpointer(std::make_shared<SelfCommunicator>(),
                            {.folder = folder + "/checkpoints", .writing = Checkpointer::Writing::in_background});
  std::vector<std::byte> copy(bytes_of(state));
  for (int round = 0; round <= rounds; ++round) {
    const double floor = seconds_of([&] {
      std::size_t at = 0;
      for (const NamedTensor& one : state) {
        std::memcpy(copy.data() + at, one.tensor.raw(), one.tensor.bytes());
        at += one.tensor.bytes();
      }
    });
    const double ours = seconds_of([&] { checkpointer.begin(head_of(round + 1), state); });
    const auto report = checkpointer.wait();
    require(report && report->error.empty(), "a save failed: {}", report ? report->error : "");
    if (round == 0) continue;
    times.ours.push_back(ours);
    times.floor.push_back(floor);
  }
  times.report_as("stall");
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "checkpoint_bench: wanted two arguments, a folder to write in and MiB of state\n");
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/checkpoint_bench";
  const auto state = trireme::bench::state_of(std::atoll(argv[2]) << 20);
  trireme::bench::save_and_load(folder, state);
  trireme::bench::stall(folder, state);
  std::filesystem::remove_all(folder);
  return 0;
}
