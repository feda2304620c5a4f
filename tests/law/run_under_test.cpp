#include "tests/law/run_under_test.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/checked.hpp"
#include "core/io/json.hpp"
#include "datasets/shapes.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Variables of a running process; empty where it is gone.
std::string environment_of(const fs::path& process) { return text_of((process / "environ").string()); }

std::vector<Json> records_of(const std::string& folder) {
  std::ifstream file(folder + "/metrics.jsonl");
  std::vector<Json> out;
  for (std::string line; std::getline(file, line);) {
    Json record = Json::parse(line, nullptr, false);
    if (record.is_object()) out.push_back(std::move(record));
  }
  return out;
}

}  // namespace

StartedJob::StartedJob(int ranks, const std::string& arguments, const std::string& log) : log_(log) {
  const std::string command =
      fmt::format("exec {} -n {} {}/tests/resume_probe {}", mpirun, ranks, TRIREME_BINARY_DIR, arguments);
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::setpgid(0, 0);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(out, 1);
  ::dup2(out, 2);
  // The mark by which rank_pids() knows the job's processes.
  ::setenv("TRIREME_TEST_JOB", std::to_string(::getpid()).c_str(), 1);
  ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
  ::_exit(127);
}

StartedJob::~StartedJob() {
  if (poll() >= 0) return;
  for (const auto& [rank, pid] : rank_pids()) ::kill(pid, SIGKILL);
  ::kill(-pid_, SIGKILL);
  wait();
}

int StartedJob::poll() {
  int status = 0;
  if (status_ < 0 && ::waitpid(pid_, &status, WNOHANG) == pid_)
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return status_;
}

bool StartedJob::wait_until(const std::function<bool()>& condition) {
  while (poll() < 0) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return false;
}

int StartedJob::wait() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  wait_until([&] { return std::chrono::steady_clock::now() > end; });
  if (poll() < 0) ::kill(-pid_, SIGKILL);
  return poll();
}

std::map<int, int> StartedJob::rank_pids() const {
  const std::string mark = fmt::format("TRIREME_TEST_JOB={}", pid_), rank_name = "OMPI_COMM_WORLD_RANK=";
  std::map<int, int> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string variables = environment_of(entry.path());
    const std::size_t at = variables.find(rank_name);
    if (at == std::string::npos || variables.find(mark) == std::string::npos) continue;
    out[std::atoi(variables.c_str() + at + rank_name.size())] = std::atoi(name.c_str());
  }
  return out;
}

std::string StartedJob::log_text() const { return text_of(log_); }

const std::string& probe_data() {
  static const TempDir dir;
  static const std::string folder = [] {
    generate_shapes({.out = dir / "shapes", .name = "shapes", .count = 300, .test_count = 40, .size = 12});
    return dir / "shapes";
  }();
  return folder;
}

StartedJob RunUnderTest::start(int ranks, const std::string& arguments) const {
  return {ranks, fmt::format("--data {} --run-dir {} {}", probe_data(), folder_, arguments), folder_ + ".log"};
}

int RunUnderTest::run(int ranks, const std::string& arguments) const { return start(ranks, arguments).wait(); }

std::string RunUnderTest::log_text() const { return text_of(folder_ + ".log"); }

std::vector<std::pair<std::int64_t, std::string>> RunUnderTest::steps() const { return losses_of("step"); }

std::vector<std::pair<std::int64_t, std::string>> RunUnderTest::validations() const { return losses_of("validation"); }

std::vector<std::pair<std::int64_t, std::string>> RunUnderTest::losses_of(const std::string& kind) const {
  std::vector<std::pair<std::int64_t, std::string>> out;
  for (const Json& record : records_of(folder_))
    if (record.value("kind", "") == kind) out.emplace_back(record.at("step"), record.at("loss").dump());
  return out;
}

bool RunUnderTest::finished() const {
  for (const Json& record : records_of(folder_))
    if (record.value("kind", "") == "summary") return true;
  return false;
}

std::vector<std::string> RunUnderTest::events(const std::string& event) const {
  std::vector<std::string> out;
  for (const Json& record : records_of(folder_))
    if (record.value("kind", "") == "event" && record.value("event", "") == event) out.push_back(record.at("text"));
  return out;
}

std::vector<std::int64_t> RunUnderTest::checkpoints() const {
  std::vector<std::int64_t> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_ + "/checkpoints", error)) {
    const std::int64_t step = checkpoint_step(entry.path().filename().string());
    if (step >= 0) out.push_back(step);
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool RunUnderTest::save_in_progress() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_ + "/checkpoints", error))
    if (entry.path().extension() == ".partial") return true;
  return false;
}

std::map<std::string, std::vector<std::byte>> tensors_of(const std::string& checkpoint) {
  const CheckpointReader reader(checkpoint);
  std::map<std::string, std::vector<std::byte>> out;
  for (const SavedTensor& tensor : reader.manifest().tensors) {
    std::vector<std::byte> bytes(to_size(tensor.shape.elements()) * size_of(tensor.dtype));
    reader.read(tensor, 0, tensor.shape.elements(), bytes.data());
    out.emplace(tensor.label(), std::move(bytes));
  }
  return out;
}

}  // namespace trireme
