// Law 1: N ranks with B/N samples each give the losses and weights of one rank with B, on real mpirun ranks, for plain
// and accumulated batches, with dropout, with synchronised batch norm and with fixed ghost groups; and the same run
// twice is the same bit for bit.
#include "datasets/shapes.hpp"
#include "tests/law/outcome.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

const std::string& data_set() {
  static const TempDir dir;
  static const std::string folder = [] {
    const std::string path = dir / "shapes";
    generate_shapes({.out = path, .name = "shapes", .count = 600, .test_count = 101, .size = 12});
    return path;
  }();
  return folder;
}

/// Runs the probe on `ranks` ranks.
Outcome run_probe(int ranks, const std::string& arguments) {
  const TempDir dir;
  const std::string out = dir / "out.json";
  return outcome_of(mpirun + "-n " + std::to_string(ranks) + " " TRIREME_BINARY_DIR "/tests/training_probe --data " +
                        data_set() + " --out " + out + " " + arguments,
                    out);
}

struct LawCase {
  std::string name, arguments;
  double loss_tolerance, weight_tolerance;
  friend std::ostream& operator<<(std::ostream& out, const LawCase& c) { return out << c.name; }
};

class Law1 : public testing::TestWithParam<LawCase> {};

TEST_P(Law1, AnyNumberOfRanksTrainsTheSame) {
  const LawCase& c = GetParam();
  const Outcome one = run_probe(1, c.arguments);
  ASSERT_EQ(one.losses.size(), 20u);
  EXPECT_LT(one.losses.back(), one.losses.front()) << "nothing was learnt, so agreement would prove nothing";
  for (const int ranks : {2, 3, 4}) {
    const Outcome many = run_probe(ranks, c.arguments);
    ASSERT_EQ(many.losses.size(), one.losses.size());
    for (std::size_t k = 0; k < one.losses.size(); ++k) {
      EXPECT_NEAR(many.losses[k], one.losses[k], c.loss_tolerance * one.losses[k]) << ranks << " ranks, step " << k;
      EXPECT_NEAR(many.norms[k], one.norms[k], 10 * c.loss_tolerance * one.norms[k]) << ranks << " ranks, step " << k;
    }
    for (const auto& [name, values] : one.weights)
      EXPECT_LE(distance(values, many.weights.at(name)), c.weight_tolerance) << ranks << " ranks, " << name;
    for (std::size_t k = 2; k < one.test.size(); ++k) EXPECT_EQ(one.test[k], many.test[k]) << ranks << " ranks";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, Law1,
    testing::Values(
        LawCase{"sgd_f64", "--model mlp --precision f64 --optimizer sgd --learning-rate 0.1", 1e-10, 1e-10},
        LawCase{"cnn_f64", "--model cnn --precision f64 --optimizer sgd --learning-rate 0.05 --clip 1", 1e-10, 1e-10},
        LawCase{"uneven_f64", "--model mlp --precision f64 --optimizer sgd --learning-rate 0.1 --batch 13", 1e-10,
                1e-10},
        LawCase{"accumulated_f64", "--model cnn --precision f64 --optimizer sgd --accumulate 2 --batch 24", 1e-10,
                1e-10},
        LawCase{"dropout_f64", "--model dropout --precision f64 --optimizer sgd --learning-rate 0.1", 1e-10, 1e-10},
        LawCase{"norm_f64", "--model norm --precision f64 --optimizer sgd --learning-rate 0.05", 1e-10, 1e-10},
        LawCase{"ghost_f64", "--model ghost --precision f64 --optimizer sgd --learning-rate 0.05 --batch 48", 1e-10,
                1e-10},
        LawCase{"cnn_adam_f32", "--model cnn --optimizer adam", 1e-5, 1e-4},
        LawCase{"norm_adamw_f32", "--model norm --optimizer adamw --weight-decay 0.01 --bucket-mib 0.002", 1e-5, 1e-4}),
    [](const auto& c) { return c.param.name; });

TEST(SameRun, TwiceIsBitwiseEqual) {
  for (const std::string arguments : {"--model norm --batch 16", "--model cnn --bucket-mib 0.001"}) {
    const Outcome first = run_probe(2, arguments), second = run_probe(2, arguments);
    EXPECT_EQ(first.losses, second.losses);
    EXPECT_EQ(first.norms, second.norms);
    EXPECT_EQ(first.weights, second.weights);
    ASSERT_FALSE(first.weights.empty());
  }
}

TEST(SameRun, AnotherSeedIsAnotherRun) {
  EXPECT_NE(run_probe(1, "--model mlp --seed 1").losses, run_probe(1, "--model mlp --seed 2").losses);
}

/// Without communication ranks must drift apart, which check_same() in the probe reports: the guard of the above.
TEST(SameRun, WithoutCommunicationTheRanksDriftApartAndItIsNoticed) {
  const TempDir dir;
  const std::string command = mpirun + "-n 2 " TRIREME_BINARY_DIR "/tests/training_probe --data " + data_set() +
                              " --out " + (dir / "x") + " --no-communicate >" + (dir / "log") + " 2>&1";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 3);
}

}  // namespace
}  // namespace trireme
