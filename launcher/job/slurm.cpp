#include "launcher/job/slurm.hpp"

#include <sstream>

#include "core/base/error.hpp"
#include "launcher/job/captured.hpp"
#include "launcher/job/child.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

/// A busy controller answers in seconds.
constexpr double answer_patience_seconds = 30;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string words_of(const Captured& call, const char* program) {
  if (call.code == 124) return fmt::format("{} did not answer within {} s", program, answer_patience_seconds);
  const std::string said = first_line(call.error.empty() ? call.output : call.error);
  return said.empty() ? fmt::format("{} ended with code {}", program, call.code) : harmless(said);
}

void call(const std::vector<std::string>& command, const std::string& what) {
  const Captured done = captured(command, answer_patience_seconds);
  if (done.code != 0) fail(ExitCode::failure, "{}: {}", what, words_of(done, command[0].c_str()));
}

}  // namespace

std::string submit_to_slurm(const std::vector<std::string>& sbatch) {
  if (find_program("sbatch").empty()) {
    fail(ExitCode::usage, "sbatch is not on the PATH: submit from a host of the cluster, or choose --backend hosts");
  }
  const Captured done = captured(sbatch, answer_patience_seconds);
  if (done.code != 0) fail(ExitCode::usage, "Slurm did not take the job: {}", words_of(done, "sbatch"));
  // NUMBER or NUMBER;CLUSTER.
  const std::string id = first_line(done.output).substr(0, done.output.find_first_of(";\n"));
  if (id.empty() || id.find_first_not_of("0123456789") != std::string::npos) {
    fail(ExitCode::failure, "sbatch --parsable answered '{}', wanted a job's number", harmless(done.output));
  }
  return id;
}

SlurmView ask_slurm(const std::string& id) {
  if (find_program("squeue").empty()) return {.problem = "squeue is not on the PATH"};
  const Captured done = captured({"squeue", "-h", "-j", id, "-o", "%T|%r|%S"}, answer_patience_seconds);
  // A job that ended minutes ago is forgotten.
  if (done.code != 0 && done.error.find("Invalid job id") != std::string::npos) return {};
  if (done.code != 0) return {.problem = words_of(done, "squeue")};
  SlurmView view;
  std::istringstream line(first_line(done.output));
  std::getline(line, view.state, '|');
  std::getline(line, view.reason, '|');
  std::getline(line, view.start, '|');
  return view;
}

void signal_slurm_job(const std::string& id, const std::string& signal) {
  call({"scancel", "--batch", "--signal=" + signal, id}, fmt::format("cannot signal job {} of Slurm", id));
}

void cancel_slurm_job(const std::string& id) {
  call({"scancel", id}, fmt::format("cannot cancel job {} of Slurm", id));
}

void requeue_slurm_job(const std::string& id) {
  call({"scontrol", "requeue", id}, fmt::format("cannot requeue job {} of Slurm", id));
}

}  // namespace trireme
