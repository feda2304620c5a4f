#include "launcher/run/cores.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "core/base/error.hpp"

namespace trireme {

std::vector<int> bound_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

void bind_to(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  // Every thread there is: the communication thread lives already. A refusal leaves a thread where it was, which is
  // correct, if slower.
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored))
    sched_setaffinity(std::atoi(task.path().filename().c_str()), sizeof set, &set);
}

std::vector<int> allowed_cores() {
  const std::vector<int> before = bound_cores();
  std::vector<int> all(CPU_SETSIZE);
  for (int core = 0; core < CPU_SETSIZE; ++core) all[static_cast<std::size_t>(core)] = core;
  bind_to(all);  // the kernel cuts this down to the cpuset
  std::vector<int> allowed = bound_cores();
  bind_to(before);
  return allowed;
}

namespace {

/// (socket, physical core) of a logical core: hardware threads of one core stand side by side in this order.
std::pair<int, int> place_of(int core) {
  std::pair<int, int> place{0, core};
  const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(core) + "/topology/";
  std::ifstream(folder + "physical_package_id") >> place.first;
  std::ifstream(folder + "core_id") >> place.second;
  return place;
}

}  // namespace

std::vector<int> share_of(const std::vector<int>& cores, int part, int parts) {
  const auto n = static_cast<int>(cores.size());
  std::vector<int> sorted = cores;
  std::stable_sort(sorted.begin(), sorted.end(), [](int a, int b) { return place_of(a) < place_of(b); });
  if (parts > n) return {sorted[static_cast<std::size_t>(part % n)]};
  return {sorted.begin() + n * part / parts, sorted.begin() + n * (part + 1) / parts};
}

void set_compute_threads([[maybe_unused]] int threads) {
#ifdef _OPENMP
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
#endif
}

void wait_passively([[maybe_unused]] const char* const* arguments) {
#ifdef _OPENMP
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
  // Where this fails the program goes on as it is: correct, only slower beside others.
  execv("/proc/self/exe", const_cast<char* const*>(arguments));
#endif
}

void check_processor() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
    fail(ExitCode::usage,
         "this processor lacks AVX2, FMA or BMI2; the program was built for x86-64-v3 (2013 and later)");
}

}  // namespace trireme
