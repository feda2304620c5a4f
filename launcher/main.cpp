// The `trireme` command. It never calls MPI_Init: it starts jobs and looks at files, and is no part of a job.
#include <string>
#include <vector>

#include "launcher/job/commands.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  return trireme::run_trireme(args);
}
