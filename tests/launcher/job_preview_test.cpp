// Names, paths and arguments from hell: what `trireme submit --print` shows, read by bash, gives every command exactly
// the words of the description, and runs nothing else. mpirun and sbatch are functions that write down their words.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/job_plan.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/run/option_value.hpp"
#include "tests/support/hostile.hpp"
#include "tests/support/random_seed.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// A description and what its ranks must get.
struct Case {
  JobDescription job;
  Words program;
  std::string name, partition, constraint;
};

class Preview : public testing::Test {
 protected:
  void SetUp() override { canary_ = folder_ / "canary"; }

  /// Folders and programs with names that nobody would give them.
  void make_places(Hostile& hostile) {
    for (int n = 0; n < 8; ++n) {
      const std::string folder = folder_ / ("d" + hostile.name());
      fs::create_directories(folder);
      folders_.push_back(folder);
      programs_.push_back(folder + "/" + hostile.name());
      std::error_code exists;
      fs::create_symlink("/bin/true", programs_.back(), exists);
    }
  }

  Case make(Hostile& hostile, Backend backend) {
    Case made;
    made.name = hostile.name();
    made.partition = "p" + hostile.text(3);
    made.constraint = "c" + hostile.text(3);
    const std::string& folder = folders_[hostile.below(folders_.size())];
    const std::string& program = programs_[hostile.below(programs_.size())];
    const Words arguments = hostile.words();
    const std::string run = folder + "/r" + hostile.name();
    std::ofstream ini(folder_ / "job.ini");
    const auto put = [&](const char* key, const std::string& value) {
      ini << key << " = " << detail::quote_ini(value) << "\n";
    };
    put("backend", to_text(backend));
    put("name", made.name);
    put("directory", folder);
    put("program", program);
    put("arguments", join_words(arguments));
    put("run-dir", run);
    if (backend == Backend::hosts) put("hosts", "a:2,b:2");
    if (backend == Backend::slurm) {
      put("partition", made.partition);
      put("constraint", made.constraint);
    }
    ini.close();
    OptionSet options({.name = "test", .summary = "", .sources = OptionSources::file_operand});
    made.job.declare(options);
    Words files;
    options.positional("JOB.ini", &files, "");
    options.parse(Words{folder_ / "job.ini"});
    resolve(made.job, options);
    made.program = {program};
    made.program.insert(made.program.end(), arguments.begin(), arguments.end());
    made.program.insert(made.program.end(), {"--run-dir", fs::path(run).lexically_normal().string()});
    return made;
  }

  /// The words of each command that `script` runs, as the commands themselves got them.
  std::vector<Words> run(const std::string& script) {
    const std::string file = folder_ / "script", out = folder_ / "out";
    fs::remove(out);
    std::ofstream(file) << "note() { printf '%s\\0' \"$@\" $'\\x01' >>" << shell_quoted({out}) << "; }\n"
                        << "for one in mpirun srun sbatch cd; do eval \"$one() { note $one \\\"\\$@\\\"; }\"; done\n"
                        << script;
    EXPECT_EQ(
        std::system(
            ("bash " + shell_quoted({file}) + " </dev/null >" + shell_quoted({folder_ / "said"}) + " 2>&1").c_str()),
        0)
        << read_file(folder_ / "said").substr(0, 2000);
    std::vector<Words> commands(1);
    const std::string bytes = fs::exists(out) ? read_file(out) : "";
    for (std::size_t begin = 0; begin < bytes.size();) {
      const std::size_t end = bytes.find('\0', begin);
      const std::string word = bytes.substr(begin, end - begin);
      begin = end + 1;
      if (word == "\x01") {
        commands.emplace_back();
      } else {
        commands.back().push_back(word);
      }
    }
    commands.pop_back();
    return commands;
  }

  TempDir folder_;
  std::string canary_;
  Words folders_, programs_;
};

Words behind_dashes(const Words& command) {
  const auto dashes = std::find(command.begin(), command.end(), "--");
  return dashes == command.end() ? Words{} : Words(dashes + 1, command.end());
}

bool holds(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST_F(Preview, mpirun_gets_the_words_of_the_description) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  Hostile hostile(seed, canary_);
  make_places(hostile);
  std::vector<Case> made;
  std::string script;
  for (int n = 0; n < hostile_cases(1000); ++n) {
    made.push_back(make(hostile, n % 2 == 0 ? Backend::local : Backend::hosts));
    script += preview(made.back().job, {.folder = folder_ / "jobs", .id = 1}, {});
  }
  const auto commands = run(script);
  ASSERT_EQ(commands.size(), 2 * made.size());
  for (std::size_t n = 0; n < made.size(); ++n) {
    ASSERT_EQ(commands[2 * n], (Words{"cd", made[n].job.directory}));
    ASSERT_EQ(commands[2 * n + 1][0], "mpirun");
    ASSERT_EQ(with_shown_colons(behind_dashes(commands[2 * n + 1])), made[n].program);
  }
  EXPECT_FALSE(fs::exists(canary_));
}

TEST_F(Preview, sbatch_gets_the_words_of_the_description) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  Hostile hostile(seed, canary_);
  make_places(hostile);
  std::vector<Case> made;
  std::string script;
  for (int n = 0; n < hostile_cases(1000); ++n) {
    made.push_back(make(hostile, Backend::slurm));
    script += preview(made.back().job, {.folder = folder_ / "jo%bs", .trireme = "/t", .id = 1}, {"HOME", "PATH"});
  }
  const auto commands = run(script);
  ASSERT_EQ(commands.size(), 2 * made.size());
  for (std::size_t n = 0; n < made.size(); ++n) {
    ASSERT_EQ(commands[2 * n], (Words{"cd", made[n].job.directory}));
    const Words& words = commands[2 * n + 1];
    ASSERT_EQ(words[0], "sbatch");
    ASSERT_TRUE(holds(words, "--job-name=" + made[n].name)) << made[n].name;
    ASSERT_TRUE(holds(words, "--partition=" + made[n].partition) && holds(words, "--constraint=" + made[n].constraint));
    ASSERT_TRUE(holds(words, "--chdir=" + made[n].job.directory));
    ASSERT_TRUE(holds(words, "--output=" + (folder_ / "jo%%bs/runner.log")));
    ASSERT_EQ(Words(words.end() - 4, words.end()),
              (Words{folder_ / "jo%bs/batch.sh", "/t", "job-run", folder_ / "jo%bs"}));
  }
  EXPECT_FALSE(fs::exists(canary_));
}

/// mpirun would begin another program at it, and srun, too.
TEST_F(Preview, a_lone_colon_reaches_no_starter) {
  for (const Words& words : std::vector<Words>{{":"}, {"\\:"}, {"a", ":", "\\\\:", "b:", ":c", "::", "\\", ""}}) {
    const Words hidden = with_hidden_colons(words);
    EXPECT_FALSE(holds(hidden, ":"));
    EXPECT_EQ(with_shown_colons(hidden), words);
  }
  const auto command = plan_launch({.ranks = 1, .program = {"/bin/echo", ":"}}, {}).command;
  EXPECT_FALSE(holds(command, ":"));
}

/// The check above can fail: words that nobody quotes run the canary.
TEST_F(Preview, words_without_quotes_would_be_seen) {
  Hostile hostile(7, canary_);
  run("mpirun $(touch " + canary_ + ")\n");
  EXPECT_TRUE(fs::exists(canary_));
  EXPECT_NE(run("mpirun a b\n")[0], (Words{"mpirun", "a b"}));
}

TEST_F(Preview, the_script_of_slurm_hands_its_words_on) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  Hostile hostile(seed, canary_);
  write_file_atomically(folder_ / "batch.sh", batch_script);
  for (int n = 0; n < 20; ++n) {
    Words words = hostile.words(), command = {"/bin/sh", folder_ / "batch.sh", "/usr/bin/printf", "%s\\0"};
    words.emplace_back("last");
    command.insert(command.end(), words.begin(), words.end());
    ASSERT_EQ(std::system((shell_quoted(command) + " >" + shell_quoted({folder_ / "words"})).c_str()), 0);
    std::string wanted;
    for (const std::string& word : words) wanted += word + std::string(1, '\0');
    EXPECT_EQ(read_file(folder_ / "words"), wanted);
  }
  EXPECT_FALSE(fs::exists(canary_));
}

TEST_F(Preview, submit_prints_it_and_starts_nothing) {
  const std::string ini = folder_ / "job.ini", said = folder_ / "said";
  std::ofstream(ini)
      << "program = /bin/sh\ndirectory = /\narguments = -c 'echo \"$HOME\"'\nname = it's\nbackend = slurm\nnodes = 2\n";
  const std::string command =
      "XDG_STATE_HOME=" + shell_quoted({folder_ / "state"}) + " " +
      shell_quoted({std::string(TRIREME_BINARY_DIR) + "/launcher/trireme", "submit", ini, "--print"}) + " >" +
      shell_quoted({said}) + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << read_file(said);
  const auto commands = run(read_file(said));
  ASSERT_EQ(commands.size(), 2u) << read_file(said);
  EXPECT_TRUE(holds(commands[1], "--job-name=it's")) << read_file(said);
  EXPECT_TRUE(holds(commands[1], "--nodes=2"));
  EXPECT_FALSE(fs::exists(folder_ / "state"));
}

}  // namespace
}  // namespace trireme
