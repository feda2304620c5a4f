// Optimizers and schedules against PyTorch, and against the papers' formulas where it has none: the goldens in
// tests/golden/ops hold first values, the gradients of 20 steps and the values after them, computed in f64.
#include "core/optim/optimizer.hpp"
#include "core/optim/schedule.hpp"
#include "tests/core/golden.hpp"

namespace trireme {
namespace {

using O = OptimizerOptions;

struct ParityNet : Module {
  Parameter wide{{4, 6}, Initializer::zeros()}, tall{{7, 3}, Initializer::zeros()}, vector{{5}, Initializer::zeros()};
  Value forward(Context&, const Value& x) override { return x; }
  void parts(Visitor& visit) override {
    visit("wide", wide);
    visit("tall", tall);
    visit("vector", vector);
  }
};

struct PlannedParity {
  explicit PlannedParity(DType dtype)
      : layout(plan_arena(net, {.dtype = dtype}, [](Context&) {})),
        planes(allocate_planes(layout, Device::cpu(), system_allocator(Device::cpu()))) {
    materialize(net, layout, planes, 1);
    for (const ArenaEntry& entry : layout.entries())
      of(entry, planes.param).copy_from(golden.tensor("start/" + entry.name, dtype));
  }
  static Tensor of(const ArenaEntry& entry, const Tensor& plane) { return plane.slice(entry.offset, entry.count); }
  void set_gradients(std::int64_t step) const {
    for (const ArenaEntry& entry : layout.entries())
      of(entry, planes.grad).copy_from(golden.tensor("grad/" + entry.name, layout.dtype()).slice(step, 1));
  }

  const Golden golden{"optimizers"};
  ParityNet net;
  ArenaLayout layout;
  Planes planes;
  Stream stream;
};

struct OptimizerCase {
  std::string name;
  O options;
  friend std::ostream& operator<<(std::ostream& out, const OptimizerCase& c) { return out << c.name; }
};

class OptimizerParity : public testing::TestWithParam<OptimizerCase> {};

TEST_P(OptimizerParity, TwentyStepsAreThoseOfTheReference) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    PlannedParity s(dtype);
    Optimizer optimizer(GetParam().options, s.layout, s.planes);
    for (std::int64_t step = 0; step < 20; ++step) {
      s.set_gradients(step);
      const StepState state{.step = step, .rate = 0.02};
      optimizer.step(s.stream, &state);
    }
    for (const ArenaEntry& entry : s.layout.entries())
      EXPECT_LE(apart(s.of(entry, s.planes.param), s.golden.tensor(GetParam().name + "/" + entry.name)),
                golden_tolerance)
          << name_of(dtype) << " " << entry.name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OptimizerParity,
    testing::Values(OptimizerCase{"rmsprop", O{.kind = O::Kind::rmsprop, .smoothing = 0.9, .weight_decay = 0.1}},
                    OptimizerCase{"rmsprop_plain", O{.kind = O::Kind::rmsprop, .momentum = 0}},
                    OptimizerCase{"lion", O{.kind = O::Kind::lion, .beta2 = 0.99, .weight_decay = 0.1}},
                    OptimizerCase{"lamb", O{.kind = O::Kind::lamb, .weight_decay = 0.1}},
                    OptimizerCase{"adafactor", O{.kind = O::Kind::adafactor, .weight_decay = 0.1}},
                    OptimizerCase{
                        "muon",
                        O{.kind = O::Kind::muon, .momentum = 0.95, .nesterov = O::Nesterov::on, .weight_decay = 0.1}}),
    [](const auto& one) { return one.param.name; });

TEST(ScheduleParity, RatesAreThoseOfPyTorch) {
  const Golden golden("optimizers");
  using K = Schedule::Kind;
  const auto compare = [&](const char* name, const Schedule& schedule) {
    const std::vector<double> wanted = doubles_of(golden.tensor(name));
    for (std::size_t step = 0; step < wanted.size(); ++step)
      EXPECT_NEAR(schedule.at(static_cast<std::int64_t>(step)), wanted[step], 1e-6) << name << " step " << step;
  };
  compare("linear", {.kind = K::linear, .rate = 0.5, .total = 30, .floor = 0.05});
  compare("polynomial", {.kind = K::polynomial, .rate = 0.5, .total = 30});
  compare("one_cycle", {.kind = K::one_cycle, .rate = 0.5, .total = 41, .floor = 0.5 * 0.04 * 1e-3});
}

}  // namespace
}  // namespace trireme
