#include "comm/environment.hpp"

#include <charconv>
#include <optional>
#include <string_view>

#include "core/base/error.hpp"

namespace trireme {
namespace {

std::optional<int> number(const Environment& environment, const char* name) {
  const char* text = environment(name);
  if (text == nullptr) return std::nullopt;
  const std::string_view view(text);
  int value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc{} || end != view.data() + view.size()) return std::nullopt;
  return value;
}

[[noreturn]] void mismatch(const char* name, int value, std::string_view remedy) {
  fail(ExitCode::usage,
       "MPI started this process as a world of one rank, but {}={} says that the job has more: every process would "
       "train alone. {}",
       name, value, remedy);
}

}  // namespace

void check_world_size(int world_size, const Environment& environment) {
  if (world_size != 1) return;
  constexpr std::string_view mpirun =
      "Start it with the mpirun of the MPI library it was built with (here Open MPI), or with `srun --mpi=pmix`.";
  constexpr std::string_view srun =
      "Start it with `srun --mpi=pmix` or with the mpirun of the MPI library it was built with; for one rank on "
      "purpose, "
      "use `srun -n 1`.";
  const auto open_mpi = number(environment, "OMPI_COMM_WORLD_SIZE");
  if (open_mpi && *open_mpi > 1) mismatch("OMPI_COMM_WORLD_SIZE", *open_mpi, mpirun);
  if (open_mpi) return;  // mpirun of this library started one rank: that is what was asked for, whatever the allocation
  for (const char* name : {"PMI_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_SIZE"}) {
    const auto value = number(environment, name);
    if (value && *value > 1) mismatch(name, *value, mpirun);
  }
  for (const char* name : {"PMIX_RANK", "PMI_RANK"}) {
    const auto value = number(environment, name);
    if (value && *value > 0) mismatch(name, *value, mpirun);
  }
  const auto step = number(environment, "SLURM_STEP_NUM_TASKS");
  if (step && *step == 1) return;
  for (const char* name : {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    const auto value = number(environment, name);
    if (value && *value > 1) mismatch(name, *value, srun);
  }
  const auto place = number(environment, "SLURM_PROCID");
  if (place && *place > 0) mismatch("SLURM_PROCID", *place, srun);
}

}  // namespace trireme
