// The manual page and bash's completion say what the program knows: every command and every option, in a page that
// groff takes without a warning and a script that a real bash reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "launcher/job/captured.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/manual.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

using Words = std::vector<std::string>;

const std::string manual_program = TRIREME_BINARY_DIR "/launcher/trireme";

std::string said_by(Words words) {
  words.insert(words.begin(), manual_program);
  const Captured done = captured(words, 60);
  EXPECT_EQ(done.code, 0) << done.error;
  return done.output;
}

/// What stands in front of a column of the overview, without `before`: "launch", "info".
Words listed(const std::string& overview, const std::string& before) {
  const std::regex entry("^  " + before + "([a-z][a-z-]*) ");
  Words out;
  std::istringstream lines(overview);
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_search(line, found, entry)) out.push_back(found[1]);
  }
  return out;
}

std::string joined(const Words& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

/// Adds what has options, down from `command`.
void add_commands(const Words& command, std::vector<Words>& out) {
  Words ask = command;
  ask.emplace_back("--help");
  const std::string help = said_by(ask);
  if (help.find("Usage:") != std::string::npos) return out.push_back(command);
  for (const std::string& name : listed(help, "trireme " + joined(command) + " ")) {
    Words below = command;
    below.push_back(name);
    add_commands(below, out);
  }
}

/// All commands that have options, as --help lists them: {"launch"}, {"data", "info"}.
std::vector<Words> all_commands() {
  std::vector<Words> out;
  for (const std::string& name : listed(said_by({"help"}), "")) {
    if (name != "trireme" && name != "help" && name != "version" && name != "completion") add_commands({name}, out);
  }
  return out;
}

/// The long options that a command's --help lists.
std::set<std::string> options_of(const Words& command) {
  static const std::regex entry("^  (?:-[a-z], )?(--[a-z0-9-]+)");
  Words words = command;
  words.emplace_back("--help");
  std::set<std::string> out;
  std::istringstream lines(said_by(words));
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_search(line, found, entry)) out.insert(found[1]);
  }
  return out;
}

/// As a reader sees it: plain letters, wide lines.
std::string rendered_page() {
  const TempDir folder;
  std::ofstream(folder / "trireme.1") << said_by({"man"});
  const Captured page = captured(
      {"env", "MANROFFOPT=-c", "groff", "-ww", "-man", "-Tascii", "-P-cbou", "-rLL=200n", folder / "trireme.1"}, 60);
  EXPECT_EQ(page.code, 0);
  EXPECT_EQ(page.error, "");
  return page.output;
}

TEST(Manual, has_every_command_and_option_and_no_warning) {
  if (find_program("groff").empty()) GTEST_SKIP() << "skipped: no groff";
  const std::string page = rendered_page();
  const auto commands = all_commands();
  ASSERT_GT(commands.size(), 15u);
  for (const Words& command : commands) {
    const std::size_t begin = page.find("\n   trireme " + joined(command) + " [options]");
    ASSERT_NE(begin, std::string::npos) << joined(command);
    const std::string section = page.substr(begin, page.find("\n   trireme ", begin + 1) - begin);
    const auto options = options_of(command);
    EXPECT_TRUE(options.contains("--help")) << joined(command);
    for (const std::string& option : options) {
      EXPECT_TRUE(std::regex_search(section, std::regex("[ ,\\n]" + option + "[ \\n]")))
          << joined(command) << " " << option;
    }
  }
}

TEST(Manual, is_a_page_of_man) {
  if (find_program("man").empty()) GTEST_SKIP() << "skipped: no man";
  const TempDir folder;
  std::ofstream(folder / "trireme.1") << said_by({"man"});
  const Captured page =
      captured({"env", "LC_ALL=C.UTF-8", "MANWIDTH=100", "man", "--warnings", "-l", folder / "trireme.1"}, 60);
  EXPECT_EQ(page.code, 0);
  EXPECT_EQ(page.error, "");
}

/// Texts that groff would take for its own words.
TEST(Manual, shows_letters_that_groff_means_otherwise) {
  if (find_program("groff").empty()) GTEST_SKIP() << "skipped: no groff";
  const TempDir folder;
  const std::string odd = ".so /etc/passwd \\fB\\n(.g 'a' \"b\" ~^` -x";
  OptionText option;
  option.group = "Odd";
  option.name = "odd";
  option.description = option.default_text = odd;
  const ProgramTable program{
      .program = {.name = "trireme odd", .summary = odd, .examples = {odd}}, .operands = {}, .options = {option}};
  std::ofstream(folder / "odd.1") << manual_page({{.name = "odd", .summary = odd, .programs = {program}}}, "1.0");
  const Captured page = captured({"groff", "-ww", "-man", "-Tascii", "-P-cbou", "-rLL=200n", folder / "odd.1"}, 60);
  EXPECT_EQ(page.error, "");
  std::size_t seen = 0;
  for (std::size_t at = page.output.find(odd); at != std::string::npos; at = page.output.find(odd, at + 1)) ++seen;
  EXPECT_EQ(seen, 5u) << page.output;
}

class Completion : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(folder_ / "trireme.bash") << said_by({"completion", "bash"}); }

  /// What bash offers behind `words`, the last of which is begun.
  std::set<std::string> offers(const Words& words) const {
    const std::string script =
        "source " + shell_quoted({folder_ / "trireme.bash"}) +
        "; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _trireme; printf '%s\\n' \"${COMPREPLY[@]}\"";
    Words command = {"bash", "-c", script, "bash"};
    command.insert(command.end(), words.begin(), words.end());
    const Captured done = captured(command, 30);
    // compopt says so where no completion is under way, as here.
    std::set<std::string> out;
    std::istringstream lines(done.output);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) out.insert(line);
    }
    return out;
  }
  TempDir folder_;
};

TEST_F(Completion, knows_every_command_and_option) {
  const auto first = offers({"trireme", ""});
  for (const Words& command : all_commands()) {
    EXPECT_TRUE(first.contains(command[0])) << command[0];
    Words words = {"trireme"};
    words.insert(words.end(), command.begin(), command.end());
    words.emplace_back("--");
    const auto offered = offers(words);
    for (const std::string& option : options_of(command))
      EXPECT_TRUE(offered.contains(option)) << joined(command) << option;
  }
  EXPECT_FALSE(first.contains("rank-exec"));
}

TEST_F(Completion, offers_what_may_follow) {
  using Set = std::set<std::string>;
  EXPECT_EQ(offers({"trireme", "lau"}), Set{"launch"});
  EXPECT_EQ(offers({"trireme", "data", "inf"}), Set{"info"});
  EXPECT_EQ(offers({"trireme", "help", "cance"}), Set{"cancel"});
  EXPECT_EQ(offers({"trireme", "submit", "--backend", ""}), (Set{"automatic", "hosts", "local", "slurm"}));
  EXPECT_EQ(offers({"trireme", "submit", "--backend", "=", "s"}), Set{"slurm"});
  EXPECT_EQ(offers({"trireme", "submit", "job.ini", "--starter", "m"}), Set{"mpirun"});
  EXPECT_EQ(offers({"trireme", "launch", "--no-dry"}), Set{"--no-dry-run"});
  // Left to bash, which knows files: a text, and what belongs to the started program.
  EXPECT_EQ(offers({"trireme", "launch", "--hostfile", ""}), Set{});
  EXPECT_EQ(offers({"trireme", "launch", "-n", "2", "--", "./train", "--"}), Set{});
  // The value of an option is no command.
  EXPECT_EQ(offers({"trireme", "launch", "--log-dir", "data", "inf"}), Set{});
}

/// Through the keys of a terminal: bash itself completes the word, and files where they may stand.
TEST_F(Completion, works_in_a_shell_at_a_terminal) {
  if (find_program("script").empty()) GTEST_SKIP() << "skipped: no script";
  std::ofstream(folder_ / "hosts_of_mine") << "a\n";
  std::ofstream(folder_ / "input") << "source trireme.bash; trireme() { printf '<%s>' \"$@\"; }\n"
                                   << "trireme submit --back\tslu\t\ntrireme launch --hostfile hosts_o\t\nexit\n";
  const Captured done =
      captured({"bash", "-c", "cd \"$1\" && script -qec 'bash --norc --noprofile -i' /dev/null <input", "bash",
                folder_.path().string()},
               60);
  EXPECT_NE(done.output.find("<submit><--backend><slurm>"), std::string::npos) << done.output;
  EXPECT_NE(done.output.find("<launch><--hostfile><hosts_of_mine>"), std::string::npos) << done.output;
}

}  // namespace
}  // namespace trireme
