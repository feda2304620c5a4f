// Options as a user meets them: which source wins, what a mistake is told, and that a written configuration reads back.
#include "launcher/run/options.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

enum class Model { cnn, mlp };

struct Settings {
  std::int64_t epochs = 10;
  double rate = 0.001;
  std::string data = "fashion";
  bool shuffle = true;
  Model model = Model::cnn;
  std::vector<std::int64_t> sizes = {64, 10};
};

struct Program {
  Settings values;
  OptionSet options;
  Program() : options({.name = "train", .summary = "trains", .examples = {"train --epochs 3"}}) {
    options.group("Training")
        .add("epochs,e", &values.epochs, "passes over the data", {.low = 1, .high = 1000})
        .add("learning-rate", &values.rate, "step size", {.low = 0, .high = 10})
        .add("shuffle", &values.shuffle, "draw samples in random order");
    options.group("Model")
        .add("model", &values.model, "which network", {{"cnn", Model::cnn}, {"mlp", Model::mlp}})
        .add("data", &values.data, "folder")
        .add("sizes", &values.sizes, "layers");
  }
  std::string origin(const std::string& name) const {
    for (const ResolvedOption& one : options.resolved()) {
      if (one.name == name) return one.origin;
    }
    return "?";
  }
};

class Options : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("trireme-options-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    for (const std::string& name : variables_) ::unsetenv(name.c_str());
    std::filesystem::remove_all(folder_);
  }
  void environment(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    variables_.push_back(name);
  }
  std::string ini(const std::string& text) {
    const std::string path = (folder_ / "run.ini").string();
    write_file_atomically(path, text);
    return path;
  }
  static std::string usage_error(const std::vector<std::string>& arguments) {
    Program program;
    try {
      program.options.parse(arguments);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "";
  }
  std::filesystem::path folder_;
  std::vector<std::string> variables_;
};

TEST_F(Options, strongest_source_wins_and_is_named) {
  environment("TRIREME_LEARNING_RATE", "0.5");
  environment("TRIREME_EPOCHS", "20");
  const std::string file = ini("# a comment\n[Training]\nepochs = 30\nlearning-rate=0.25\ndata =  with space \n");
  Program program;
  ASSERT_EQ(program.options.parse({"--config", file, "-e", "40"}), ParseOutcome::run);
  EXPECT_EQ(program.values.epochs, 40);
  EXPECT_EQ(program.values.rate, 0.5);
  EXPECT_EQ(program.values.data, "with space");
  EXPECT_EQ(program.origin("epochs"), "command line");
  EXPECT_EQ(program.origin("learning-rate"), "environment TRIREME_LEARNING_RATE");
  EXPECT_EQ(program.origin("data"), file + ":5");
  EXPECT_EQ(program.origin("sizes"), "default");
}

TEST_F(Options, every_kind_is_read) {
  Program program;
  program.options.parse({"--no-shuffle", "--model=mlp", "--sizes", "3,2,1", "--learning-rate", "1e-4"});
  EXPECT_FALSE(program.values.shuffle);
  EXPECT_EQ(program.values.model, Model::mlp);
  EXPECT_EQ(program.values.sizes, (std::vector<std::int64_t>{3, 2, 1}));
  EXPECT_EQ(program.values.rate, 1e-4);
  Program other;
  other.options.parse({"--shuffle=false", "--shuffle"});
  EXPECT_TRUE(other.values.shuffle);
}

TEST_F(Options, a_bound_of_zero_is_said_too) {
  std::int64_t steps = 0;
  OptionSet options({.name = "train", .summary = "trains"});
  options.group("Training").add("max-steps", &steps, "limit", {.low = 0});
  EXPECT_TRUE(has(options.help(), "a whole number of at least 0"));
}

TEST_F(Options, mistakes_name_option_origin_found_and_wanted) {
  EXPECT_EQ(usage_error({"--epochs", "0"}),
            "train: option 'epochs' (command line): found '0', wanted a whole number from 1 to 1000");
  for (const char* bad : {"", "3.5", "1e3", "ten", "99999999999999999999", "3 "}) {
    EXPECT_TRUE(has(usage_error({std::string("--epochs=") + bad}), "epochs")) << bad;
  }
  EXPECT_TRUE(has(usage_error({"--learning-rate", "nan"}), "found 'nan', wanted a number from 0 to 10"));
  EXPECT_TRUE(has(usage_error({"--model", "rnn"}), "found 'rnn', wanted one of: cnn, mlp"));
  EXPECT_TRUE(has(usage_error({"--sizes", "3,,1"}), "found '3,,1'"));
  EXPECT_TRUE(has(usage_error({"--sizes", "3,0"}), "each of at least 1"));
  EXPECT_TRUE(has(usage_error({"--shuffle=maybe"}), "wanted true or false"));
  EXPECT_TRUE(has(usage_error({"--epochs"}), "epochs"));
  EXPECT_TRUE(has(usage_error({"stray"}), "'stray'"));
  environment("TRIREME_EPOCHS", "many");
  EXPECT_TRUE(has(usage_error({}), "(environment TRIREME_EPOCHS): found 'many'"));
}

TEST_F(Options, a_losing_value_is_still_checked) {
  const std::string file = ini("epochs = never\n");
  EXPECT_TRUE(has(usage_error({"--config", file, "--epochs", "3"}), file + ":1): found 'never'"));
}

TEST_F(Options, unknown_names_get_the_nearest) {
  EXPECT_EQ(usage_error({"--epoch", "3"}), "train: no option is called 'epoch' (command line); did you mean 'epochs'?");
  EXPECT_TRUE(has(usage_error({"--learnign-rate=3"}), "did you mean 'learning-rate'?"));
  EXPECT_TRUE(has(usage_error({"--xyzzy"}), "--help lists them"));
  EXPECT_TRUE(has(usage_error({"-q"}), "'q'"));
  const std::string file = ini("\nmodle = cnn\n");
  EXPECT_EQ(usage_error({"--config", file}),
            "train: no option is called 'modle' (" + file + ":2); did you mean 'model'?");
}

TEST_F(Options, broken_files_are_refused) {
  EXPECT_TRUE(has(usage_error({"--config", (folder_ / "none.ini").string()}), "none.ini"));
  EXPECT_TRUE(has(usage_error({"--config", ini("epochs\n")}), ":1: found 'epochs', wanted a line"));
  EXPECT_TRUE(has(usage_error({"--config", ini("data = \"open\n")}), "quote that never ends"));
  EXPECT_TRUE(has(usage_error({"--config", ini(std::string((1 << 20) + 1, '#'))}), "has more than 1048576 bytes"));
}

TEST_F(Options, unknown_variables_warn_and_reserved_ones_do_not) {
  environment("TRIREME_EPOCS", "3");
  environment("TRIREME_RANK_LOG_DIR", "/tmp");
  environment("TRIREME_OWN", "x");
  Program program;
  program.options.reserve_environment("TRIREME_OWN");
  program.options.reserve_environment("TRIREME_PEER_PYTHON");  // other tests read it, so it may be set
  program.options.parse(std::vector<std::string>{});
  ASSERT_EQ(program.options.warnings().size(), 1u);
  EXPECT_TRUE(has(program.options.warnings()[0], "TRIREME_EPOCS is no option of train"));
  EXPECT_TRUE(has(program.options.warnings()[0], "did you mean TRIREME_EPOCHS?"));
}

TEST_F(Options, written_configuration_reads_back_exactly) {
  Program first;
  first.values.data = " \"quoted\" \\ # ; = tail\nsecond ";
  first.values.rate = 0.1 + 0.2;
  first.options.parse({"--epochs", "7", "--no-shuffle", "--sizes="});
  const std::string file = ini(first.options.to_ini());
  Program second;
  second.options.parse({"--config", file});
  EXPECT_EQ(second.values.data, first.values.data);
  EXPECT_EQ(second.values.rate, first.values.rate);
  EXPECT_EQ(second.values.epochs, 7);
  EXPECT_FALSE(second.values.shuffle);
  EXPECT_TRUE(second.values.sizes.empty());
}

TEST_F(Options, spaces_of_every_kind_at_the_ends_of_a_value_come_back) {
  for (const char space : {' ', '\t', '\v', '\f', '\r', '\n'}) {
    for (const std::string& value : {std::string(1, space), space + std::string("x"), std::string("x") + space}) {
      Program first, second;
      first.values.data = value;
      second.options.parse({"--config", ini(first.options.to_ini())});
      EXPECT_EQ(second.values.data, value) << "character " << static_cast<int>(space);
    }
  }
}

TEST_F(Options, help_and_print_config_end_the_program) {
  Program program;
  testing::internal::CaptureStdout();
  EXPECT_EQ(program.options.parse({"--help"}), ParseOutcome::exit_done);
  const std::string help = testing::internal::GetCapturedStdout();
  for (const char* part : {"train: trains", "Training:", "Model:", "-e, --epochs VALUE", "from 1 to 1000", "[10]",
                           "one of: cnn, mlp", "Examples:\n  train --epochs 3"}) {
    EXPECT_TRUE(has(help, part)) << part << "\n" << help;
  }
  testing::internal::CaptureStdout();
  Program other;
  EXPECT_EQ(other.options.parse({"--print-config", "--epochs", "4"}), ParseOutcome::exit_done);
  const std::string config = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(has(config, "[Training]\n# command line\nepochs = 4\n# default\nlearning-rate = 0.001\n")) << config;
}

TEST_F(Options, positional_arguments_and_dashes) {
  std::vector<std::string> files;
  OptionSet options({.name = "tool", .summary = "", .sources = OptionSources::command_line_only});
  std::int64_t count = 1;
  options.group("Main").add("count,n", &count, "", {.low = -5});
  options.positional("FILES", &files, "inputs");
  environment("TRIREME_COUNT", "3");
  options.parse({"a b", "-n", "-2", "c"});
  EXPECT_EQ(files, (std::vector<std::string>{"a b", "c"}));
  EXPECT_EQ(count, -2);
  const auto [before, after] = split_at_dashes({"-n", "2", "--", "prog", "--", "x"});
  EXPECT_EQ(before.size(), 2u);
  EXPECT_EQ(after, (std::vector<std::string>{"prog", "--", "x"}));
}

TEST_F(Options, nearest_name_stays_silent_when_nothing_is_near) {
  EXPECT_EQ(nearest_name("lanch", {"launch", "plot"}), "launch");
  EXPECT_EQ(nearest_name("epohcs", {"epochs", "epsilon"}), "epochs");
  EXPECT_EQ(nearest_name("completely-else", {"launch", "plot"}), "");
}

}  // namespace
}  // namespace trireme
