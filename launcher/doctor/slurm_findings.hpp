// What the doctor thinks of a site's Slurm, from the words of Slurm's own commands. Pure.
#pragma once

#include <string>
#include <vector>

#include "launcher/doctor/findings.hpp"

namespace trireme {

/// What a command said; `problem` where it did not answer or refused.
struct SlurmAnswer {
  std::string text = {}, problem = {};
};

struct SlurmAnswers {
  SlurmAnswer ping;        // scontrol ping
  SlurmAnswer config;      // scontrol show config
  SlurmAnswer partitions;  // scontrol show partition --oneliner
  SlurmAnswer nodes;       // sinfo: PARTITION|STATE|NODES
  SlurmAnswer mpi;         // srun --mpi=list
  SlurmAnswer munge;       // munge | unmunge
};

/// `partition`: the one that jobs are meant for; empty: the site's default.
std::vector<Finding> judge_slurm(const SlurmAnswers& answers, const std::string& partition);

}  // namespace trireme
