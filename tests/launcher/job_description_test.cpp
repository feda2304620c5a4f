// Job descriptions: what a file means, what a mistake is told, and that the resolved form reads back.
#include "launcher/job/job_description.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/job_words.hpp"
#include "tests/support/random_seed.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

using Words = std::vector<std::string>;

/// A description as submit reads it.
class Description {
 public:
  Description(const std::string& ini, const Words& more = {})
      : options_({.name = "trireme submit", .summary = "", .sources = OptionSources::file_operand}) {
    job.declare(options_);
    options_.positional("JOB.ini", &files_, "");
    write_file_atomically(folder_ / "job.ini", ini);
    Words words = {folder_ / "job.ini"};
    words.insert(words.end(), more.begin(), more.end());
    options_.parse(words);
    resolve(job, options_);
  }
  std::string ini() const { return options_.to_ini(); }
  JobDescription job;

 private:
  TempDir folder_;
  std::vector<std::string> files_;
  OptionSet options_;
};

std::string refusal(const std::string& ini, const Words& more = {}) {
  try {
    const Description description(ini, more);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
  return "";
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

const std::string least = "program = /bin/sh\ndirectory = /\n";

TEST(JobDescription, few_words_are_enough) {
  const Description made(least);
  EXPECT_EQ(made.job.backend, Backend::local);
  EXPECT_EQ(made.job.name, "sh");
  EXPECT_EQ(made.job.ranks(), 1);
  EXPECT_EQ(made.job.run_dir, "auto");
  EXPECT_EQ(made.job.host_wait_seconds(), 3600);
  EXPECT_EQ(Description(std::string(least) + "host-wait = 0\n").job.host_wait_seconds(), 0);
}

TEST(JobDescription, keys_and_headings) {
  const Description made(R"([Job]
name = fashion  # 1
program = bin/sh
directory = /
arguments = -c "echo \"a  b\"" 'it is' x\ y
container = /usr/bin/env -i
[Resources]
nodes = 2
ranks-per-node = 3
[Hosts]
hosts = a:3,b:2,c,d:8
[Environment]
environment = TOKEN "GREETING=good day" EMPTY=
[Checkpoints]
run-dir = runs/one
checkpoint-every = 50
[Restart]
restarts = 4
restart-window = 1h30m
)");
  const JobDescription& job = made.job;
  EXPECT_EQ(job.name, "fashion  # 1");
  EXPECT_EQ(job.program, "/bin/sh");
  EXPECT_EQ(job.backend, Backend::hosts);
  EXPECT_EQ(job.hosts, "a:3,c:3,d:8");  // b has no room for three, c is taken whole
  EXPECT_EQ(job.ranks(), 6);
  EXPECT_EQ(job.program_words(), (Words{"/usr/bin/env", "-i", "/bin/sh", "-c", "echo \"a  b\"", "it is", "x y",
                                        "--run-dir", "/runs/one", "--checkpoint-every", "50"}));
  EXPECT_EQ(job.variable_names(), (Words{"TOKEN", "GREETING", "EMPTY"}));
  ASSERT_EQ(job.variable_values().size(), 2u);
  EXPECT_EQ(job.variable_values()[0].second, "good day");
  EXPECT_EQ(job.variable_values()[1].second, "");
  EXPECT_EQ(job.restart_rules().window_seconds, 5400);
}

TEST(JobDescription, the_command_line_is_stronger_than_the_file) {
  const Description made(least + "ranks-per-node = 4\n", {"--ranks-per-node", "2", "--name=x"});
  EXPECT_EQ(made.job.ranks_per_node, 2);
  EXPECT_EQ(made.job.name, "x");
}

TEST(JobDescription, the_resolved_form_means_the_same) {
  const Description made(least + "arguments = -c 'a \"b\"' \\\\x\nname = \" odd \"\nenvironment = A=1\nmemory = 16G\n");
  const Description again(made.ini());
  EXPECT_EQ(again.job.program_words(), made.job.program_words());
  EXPECT_EQ(again.job.name, " odd ");
  EXPECT_EQ(again.job.memory, "16G");
  EXPECT_EQ(again.job.backend, Backend::local) << "automatic is what was asked for, not what was chosen";
  const Description placed(least + "hosts = a:2\n");
  EXPECT_EQ(Description(placed.ini()).job.backend, Backend::hosts);
}

TEST(JobDescription, mistakes_are_told_with_key_place_and_what_is_wanted) {
  EXPECT_SAYS(refusal(least + "nods = 2\n"), "no option is called 'nods'");
  EXPECT_SAYS(refusal(least + "nods = 2\n"), "job.ini:3); did you mean 'nodes'?");
  EXPECT_SAYS(refusal(least + "nodes = 0\n"), "job.ini:3): found '0', wanted a whole number from 1 to 65536");
  EXPECT_SAYS(refusal(least + "backend = pbs\n"), "found 'pbs', wanted one of: automatic, local, hosts, slurm");
  EXPECT_SAYS(refusal("directory = /\n"), "needs the key 'program'");
  EXPECT_SAYS(refusal("program = ./none\ndirectory = /\n"), "cannot find '/none'");
  EXPECT_SAYS(refusal("program = sh\ndirectory = /none\n"), "job.ini:2): there is no folder '/none'");
  EXPECT_SAYS(refusal(least + "nodes = 2\n"), "job.ini:3): found 2, but this machine is one");
  EXPECT_SAYS(refusal(least + "backend = hosts\n"), "wanted 'hosts' or 'hostfile'");
  EXPECT_SAYS(refusal(least + "backend = slurm\nhosts = a\n"), "slurm places the ranks by itself");
  EXPECT_SAYS(refusal(least + "hosts = a:1,b:4\nranks-per-node = 2\nnodes = 2\n"),
              "1 of the 2 hosts have room for 2 ranks");
  EXPECT_SAYS(refusal(least + "memory = lots\n"), "job.ini:3): found 'lots', wanted a size such as 16G");
  EXPECT_SAYS(refusal(least + "time-limit = 5 minutes\n"), "wanted a duration");
  EXPECT_SAYS(refusal(least + "environment = 1A=b\n"), "found the variable '1A', wanted NAME or NAME=value");
  EXPECT_SAYS(refusal(least + "arguments = -c 'open\n"), "never ends");
  EXPECT_SAYS(refusal(least + "arguments = --run-dir x\n"), "by the key run-dir");
  EXPECT_SAYS(refusal(least + "starter = srun\n"), "only with --backend slurm");
  EXPECT_SAYS(refusal(least + "name = a/b\n"), "without '/'");
  EXPECT_SAYS(refusal(least + "checkpoint-every = often\n"), "wanted a number of steps");
  EXPECT_SAYS(refusal(least + "print = true\n"), "no option is called 'print'");
  EXPECT_SAYS(refusal(least + "config = x\n"), "no option is called 'config'");
}

TEST(JobDescription, control_characters_are_refused_everywhere) {
  for (const char* key : {"name", "arguments", "partition", "account", "constraint", "run-dir", "environment", "hosts",
                          "slurm-options", "mpirun-options", "container", "qos", "memory"}) {
    const std::string said = refusal(least + key + " = \"a\\n#SBATCH --wrap=x\"\n");
    EXPECT_SAYS(said, std::string("option '") + key + "'");
    EXPECT_SAYS(said, "wanted no control characters");
    EXPECT_EQ(said.find('\n'), std::string::npos);
  }
  EXPECT_SAYS(refusal(least, {"--name", "a\x1b[31m"}), "option 'name' (command line)");
  EXPECT_EQ(refusal(least + "name = größe \xe2\x82\xac\n"), "");
}

TEST(JobWords, read_back_whatever_they_are) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937 random(seed);
  const std::string letters = " '\"\\$`ab=-#;\xc3\xa4";
  for (int round = 0; round < 5000; ++round) {
    Words words(random() % 5);
    for (std::string& word : words) {
      for (std::size_t n = random() % 6; n > 0; --n) word += letters[random() % letters.size()];
    }
    ASSERT_EQ(split_words(join_words(words), "x"), words) << join_words(words);
  }
}

}  // namespace
}  // namespace trireme
