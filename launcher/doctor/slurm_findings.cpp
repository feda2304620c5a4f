#include "launcher/doctor/slurm_findings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

namespace trireme {
namespace {

using Fields = std::map<std::string, std::string>;

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

/// Lines "Key = value".
Fields read_config(const std::string& text) {
  Fields out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) out[trimmed(line.substr(0, equals))] = trimmed(line.substr(equals + 1));
  }
  return out;
}

/// A line "PartitionName=a Default=YES ..." each.
std::vector<Fields> read_partitions(const std::string& text) {
  std::vector<Fields> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    Fields fields;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      if (equals != std::string::npos) fields[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (fields.contains("PartitionName")) out.push_back(std::move(fields));
  }
  return out;
}

std::string value_of(const Fields& fields, const std::string& key) {
  const auto at = fields.find(key);
  return at == fields.end() ? "not said" : at->second;
}

Finding judge_controller(const SlurmAnswers& answers, const Fields& config) {
  const std::string version = value_of(config, "SLURM_VERSION");
  if (answers.ping.problem.empty() && answers.ping.text.find(" UP") != std::string::npos) {
    return {"slurmctld", Grade::ok, fmt::format("answers, Slurm {}", version)};
  }
  const std::string said = answers.ping.problem.empty() ? trimmed(answers.ping.text) : answers.ping.problem;
  return {"slurmctld", Grade::fault, said,
          "submit from a host of the cluster; else its administrators know: systemctl status slurmctld"};
}

Finding judge_munge(const SlurmAnswers& answers) {
  if (answers.munge.problem.empty()) return {"munge", Grade::ok, "credentials are made and read"};
  return {"munge", Grade::fault, answers.munge.problem,
          "systemctl start munge; one key (/etc/munge/munge.key) and one clock for all hosts"};
}

Finding judge_mpi(const SlurmAnswers& answers) {
  if (!answers.mpi.problem.empty())
    return {"srun --mpi", Grade::warning, answers.mpi.problem, "starter = mpirun works without"};
  if (answers.mpi.text.find("pmix") != std::string::npos)
    return {"srun --mpi", Grade::ok, "pmix is there: starter = srun works"};
  return {
      "srun --mpi", Grade::warning, "no pmix",
      "starter = mpirun (the default) works without; for srun the site needs Slurm's PMIx plugin (Debian: libpmix2)"};
}

void judge_requeue(const Fields& config, std::vector<Finding>& out) {
  const std::string requeue = value_of(config, "JobRequeue");
  // sbatch --requeue asks for it whatever the default is.
  out.push_back({"requeue", Grade::ok, fmt::format("the site's default is {}; jobs ask for it by --requeue", requeue)});
  const std::string preempt = value_of(config, "PreemptMode");
  const bool warns = value_of(config, "SlurmctldParameters").find("preempt_send_user_signal") != std::string::npos;
  const bool preempts = preempt != "OFF" && preempt != "not said";
  out.push_back(
      {"preemption", !preempts || warns ? Grade::ok : Grade::warning,
       !preempts ? "none"
                 : fmt::format("{}{}", preempt, warns ? ", with a warning signal" : ", without a warning signal"),
       !preempts || warns ? ""
                          : "a preempted job goes on from its last checkpoint: checkpoint-every a few minutes, or "
                            "SlurmctldParameters=preempt_send_user_signal and GraceTime"});
  out.push_back({"arrays", Grade::ok,
                 fmt::format("at most {} jobs of an array, {} jobs in all", value_of(config, "MaxArraySize"),
                             value_of(config, "MaxJobCount"))});
}

const Fields* chosen(const std::vector<Fields>& partitions, const std::string& name) {
  for (const Fields& one : partitions) {
    if (name.empty() ? value_of(one, "Default") == "YES" : value_of(one, "PartitionName") == name) return &one;
  }
  return nullptr;
}

/// Of one partition's hosts: in how many states, and how many take jobs now or later.
Finding judge_nodes(const SlurmAnswers& answers, const std::string& partition) {
  if (!answers.nodes.problem.empty()) return {"hosts", Grade::fault, answers.nodes.problem, "sinfo"};
  std::map<std::string, long> states;
  std::istringstream lines(answers.nodes.text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream parts(line);
    std::string name, state, count;
    std::getline(parts, name, '|');
    std::getline(parts, state, '|');
    std::getline(parts, count, '|');
    // The default partition has a star behind its name, a host that does not answer behind its state.
    if (name.substr(0, name.find('*')) == partition) states[state] += std::strtol(count.c_str(), nullptr, 10);
  }
  std::vector<std::string> words;
  long bad = 0, all = 0;
  for (const auto& [state, count] : states) {
    words.push_back(fmt::format("{} {}", count, state));
    all += count;
    const bool out =
        state.starts_with("down") || state.starts_with("drain") || state.starts_with("fail") || state.ends_with("*");
    if (out) bad += count;
  }
  const Grade verdict = all == 0 || bad == all ? Grade::fault : bad > 0 ? Grade::warning : Grade::ok;
  return {"hosts", verdict, all == 0 ? "none" : fmt::format("{}", fmt::join(words, ", ")),
          verdict == Grade::ok ? "" : "why: sinfo -R; back again: scontrol update NodeName=... State=RESUME"};
}

void judge_partition(const SlurmAnswers& answers, const std::string& asked, std::vector<Finding>& out) {
  const auto partitions = read_partitions(answers.partitions.text);
  const Fields* one = chosen(partitions, asked);
  if (one == nullptr) {
    std::vector<std::string> names;
    for (const Fields& each : partitions) names.push_back(value_of(each, "PartitionName"));
    out.push_back({"partition", Grade::fault,
                   !answers.partitions.problem.empty() ? answers.partitions.problem
                   : asked.empty()                     ? "the site has no default"
                                                       : fmt::format("there is none called '{}'", asked),
                   names.empty() ? "sinfo" : fmt::format("--partition with one of: {}", fmt::join(names, ", "))});
    return;
  }
  const std::string name = value_of(*one, "PartitionName"), state = value_of(*one, "State");
  out.push_back(
      {"partition", state == "UP" ? Grade::ok : Grade::fault,
       fmt::format("{} is {}; time limit {}, default {}", name, state, value_of(*one, "MaxTime"),
                   value_of(*one, "DefaultTime")),
       state == "UP" ? "" : fmt::format("choose another, or: scontrol update PartitionName={} State=UP", name)});
  out.push_back(judge_nodes(answers, name));
}

}  // namespace

std::vector<Finding> judge_slurm(const SlurmAnswers& answers, const std::string& partition) {
  std::vector<Finding> out;
  const Fields config = read_config(answers.config.text);
  out.push_back(judge_controller(answers, config));
  if (out.back().verdict == Grade::fault) return out;
  out.push_back(judge_munge(answers));
  judge_partition(answers, partition, out);
  out.push_back(judge_mpi(answers));
  judge_requeue(config, out);
  return out;
}

}  // namespace trireme
