// Runs the gradient check over the whole table of ops (see tests/support/gradient_check.hpp) and sees that no op of
// core/ops/ is missing from it.
#include "tests/support/gradient_check.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

namespace trireme {
namespace {

class GradientCheck : public testing::TestWithParam<GradientCase> {};

TEST_P(GradientCheck, AgreesWithCentralDifferencesInEveryModeAndType) {
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{2}}) EXPECT_EQ(check_gradient(GetParam(), seed), "");
}

/// The whole table in 16 bits: results are those of f64 rounded a few times, whatever is summed.
TEST_P(GradientCheck, AgreesInSixteenBits) {
  if (GetParam().half_tolerance == 0) return;
  for (const DType half : {DType::bf16, DType::f16})
    for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{2}})
      EXPECT_EQ(check_half(GetParam(), half, seed), "");
}

TEST_P(GradientCheck, HasTheSameShapeOnTheMetaDevice) {
  const Computed real = compute(GetParam(), DType::f64, Contribution::first, 1);
  EXPECT_EQ(meta_shape(GetParam(), DType::f64), real.shape)
      << meta_shape(GetParam(), DType::f64).text() << " " << real.shape.text();
}

INSTANTIATE_TEST_SUITE_P(Ops, GradientCheck, testing::ValuesIn(gradient_cases()),
                         [](const auto& row) { return row.param.name(); });

/// Names of the functions that a header declares with a Context as first argument and that return something with a
/// gradient (a plain Tensor has none, nor has a library's answer whether it did it).
std::set<std::string> declared_ops(const std::filesystem::path& header) {
  std::ifstream file(header);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  static const std::regex declaration(R"(^(\w+)\s+(\w+)\(\s*Context&)", std::regex::multiline);
  std::set<std::string> out;
  for (std::sregex_iterator at(text.begin(), text.end(), declaration), end; at != end; ++at)
    if ((*at)[1] != "Tensor" && (*at)[1] != "void" && (*at)[1] != "bool") out.insert((*at)[2]);
  return out;
}

TEST(GradientTable, EveryOpHasARow) {
  std::set<std::string> checked;
  for (const GradientCase& row : gradient_cases()) checked.insert(row.op);
  std::size_t found = 0;
  const std::filesystem::path folder = std::filesystem::path(TRIREME_SOURCE_DIR) / "core/ops";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".hpp") continue;
    for (const std::string& op : declared_ops(entry.path())) {
      ++found;
      EXPECT_TRUE(checked.count(op) == 1) << "ops::" << op << " of " << entry.path().filename().string()
                                          << " has no row in the table of gradient checks";
    }
  }
  EXPECT_GE(found, 30u) << "the scan of " << folder << " found too few ops to be right";
}

TEST(GradientTable, AWrongGradientIsFound) {
  const GradientCase wrong{.op = "wrong", .variant = "", .shapes = {{3}}, .function = [](Context& c, const Inputs& x) {
                             const Tensor y = x[0].tensor().clone();
                             return c.record({"wrong",
                                              {{x[0]}},
                                              [](Context&, Gradients& g) {
                                                const Tensor twice = g.output().clone();
                                                for (double& v : twice.span<double>()) v *= 2;
                                                g.hand_over(0, twice);
                                              }},
                                             y);
                           }};
  EXPECT_NE(check_gradient(wrong, 1).find("gradient of input 0, element 0"), std::string::npos);
}

}  // namespace
}  // namespace trireme
