// Optimizers against the formulas written out element by element, over planes with mixed decay groups; the norm of a
// plane and its finite flag; skipped steps.
#include "core/optim/optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace trireme {
namespace {

struct OptimNet : Module {
  Parameter weight{{7, 3}, Initializer::normal(1)};
  Parameter bias{{5}, Initializer::normal(1), Decay::no};
  Parameter last{{40}, Initializer::normal(1)};
  Value forward(Context&, const Value& x) override { return x; }
  void parts(Visitor& visit) override {
    visit("weight", weight);
    visit("bias", bias);
    visit("last", last);
  }
};

struct PlannedOptim {
  OptimNet net;
  ArenaLayout layout = plan_arena(net, {.dtype = DType::f64}, [](Context&) {});
  Planes planes = allocate_planes(layout, Device::cpu(), system_allocator(Device::cpu()));
  Stream stream;
  PlannedOptim() { materialize(net, layout, planes, 3); }
  void set_gradient(int step) {
    for (const ArenaEntry& entry : layout.entries())
      for (std::int64_t k = 0; k < entry.count; ++k)
        planes.grad.span<double>()[static_cast<std::size_t>(entry.offset + k)] =
            std::sin(0.3 * static_cast<double>(entry.offset + k + 7 * step));
  }
};

/// One element, written as the papers have it.
struct Scalar {
  double p, m = 0, v = 0;
  struct Now {
    double g, rate, decay;
    int t;
  };
  void step(const OptimizerOptions& o, Now now) {
    auto [g, rate, decay, t] = now;
    if (o.kind == OptimizerOptions::Kind::sgd) {
      g += decay * p;
      m = o.momentum * m + g;
      p -= rate * (o.nesterov == OptimizerOptions::Nesterov::on ? g + o.momentum * m : m);
      return;
    }
    if (o.kind == OptimizerOptions::Kind::adam) g += decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double mhat = m / (1 - std::pow(o.beta1, t)), vhat = v / (1 - std::pow(o.beta2, t));
    if (o.kind == OptimizerOptions::Kind::adamw) p -= rate * decay * p;
    p -= rate * mhat / (std::sqrt(vhat) + o.epsilon);
  }
};

class Optimizers : public testing::TestWithParam<OptimizerOptions> {};

TEST_P(Optimizers, FollowTheirFormula) {
  PlannedOptim s;
  const OptimizerOptions o = GetParam();
  Optimizer optimizer(o, s.layout, s.planes);
  std::vector<Scalar> scalars;
  for (const double p : s.planes.param.to_vector<double>()) scalars.push_back({p});
  for (int t = 1; t <= 4; ++t) {
    s.set_gradient(t);
    const StepState state{.step = t - 1, .rate = 0.05 / t, .gradient_scale = 0.5};
    const auto version = s.net.weight.value().version();
    optimizer.step(s.stream, &state);
    EXPECT_GT(s.net.weight.value().version(), version) << "caches of weight forms would stay stale";
    for (const ArenaEntry& entry : s.layout.entries())
      for (std::int64_t k = entry.offset; k < entry.offset + entry.count; ++k)
        scalars[static_cast<std::size_t>(k)].step(o,
                                                  {.g = 0.5 * s.planes.grad.span<double>()[static_cast<std::size_t>(k)],
                                                   .rate = 0.05 / t,
                                                   .decay = entry.parameter->decay() == Decay::yes ? o.weight_decay : 0,
                                                   .t = t});
  }
  const auto got = s.planes.param.to_vector<double>();
  for (const ArenaEntry& entry : s.layout.entries())
    for (auto k = static_cast<std::size_t>(entry.offset); k < static_cast<std::size_t>(entry.offset + entry.count); ++k)
      EXPECT_NEAR(got[k], scalars[k].p, 1e-12) << entry.name << " element " << k;
}

using O = OptimizerOptions;
INSTANTIATE_TEST_SUITE_P(Kinds, Optimizers,
                         testing::Values(O{.kind = O::Kind::sgd, .momentum = 0},
                                         O{.kind = O::Kind::sgd, .weight_decay = 0.1},
                                         O{.kind = O::Kind::sgd, .nesterov = O::Nesterov::on, .weight_decay = 0.1},
                                         O{.kind = O::Kind::adam}, O{.kind = O::Kind::adam, .weight_decay = 0.1},
                                         O{.kind = O::Kind::adamw, .weight_decay = 0.1}));

TEST(Optimizer, RangesTogetherAreTheWhole) {
  PlannedOptim whole, parts;
  const OptimizerOptions o{.kind = O::Kind::adamw, .weight_decay = 0.1};
  Optimizer a(o, whole.layout, whole.planes), b(o, parts.layout, parts.planes);
  whole.set_gradient(1);
  parts.set_gradient(1);
  const StepState state{.rate = 0.1};
  a.step(whole.stream, &state);
  const std::int64_t n = parts.layout.trained_elements();
  for (std::int64_t first = 0; first < n; first += 13)
    b.step_range(parts.stream, &state, first, std::min<std::int64_t>(13, n - first));
  EXPECT_EQ(whole.planes.param.to_vector<double>(), parts.planes.param.to_vector<double>());
}

TEST(Optimizer, ASkippedStepLeavesEverythingAsItIs) {
  PlannedOptim s;
  Optimizer optimizer({}, s.layout, s.planes);
  const auto before = s.planes.param.to_vector<double>();
  s.planes.grad.span<double>()[0] = std::numeric_limits<double>::quiet_NaN();
  const StepState state{.rate = 0.1, .skip = 1};
  optimizer.step(s.stream, &state);
  EXPECT_EQ(s.planes.param.to_vector<double>(), before);
  for (const NamedPlane& moment : optimizer.state_planes())
    for (const double m : moment.plane.to_vector<double>()) EXPECT_EQ(m, 0);
}

/// Two networks of one seed, f32 and 16 bits, go the same way in their unrounded values; parameters are these, rounded.
TEST(Optimizer, MastersMoveAsParametersOfF32Do) {
  for (const DType half : {DType::bf16, DType::f16}) {
    for (const DType gradients : {DType::f32, half}) {
      OptimNet plain, mixed;
      const ArenaLayout wide = plan_arena(plain, {.dtype = DType::f32}, [](Context&) {});
      const ArenaLayout narrow = plan_arena(mixed, {.dtype = half, .gradient_dtype = gradients}, [](Context&) {});
      Planes a = allocate_planes(wide, Device::cpu(), system_allocator(Device::cpu()));
      Planes b = allocate_planes(narrow, Device::cpu(), system_allocator(Device::cpu()));
      EXPECT_EQ(b.param.dtype(), half);
      EXPECT_EQ(b.grad.dtype(), gradients);
      materialize(plain, wide, a, 3);
      materialize(mixed, narrow, b, 3);
      const Stream stream;
      Optimizer of_plain({.weight_decay = 0.1}, wide, a), of_mixed({.weight_decay = 0.1}, narrow, b);
      for (const NamedPlane& moment : of_mixed.state_planes()) EXPECT_EQ(moment.plane.dtype(), DType::f32);
      for (int t = 0; t < 3; ++t) {
        for (std::size_t e = 0; e < wide.entries().size(); ++e) {
          for (std::int64_t k = 0; k < wide.entries()[e].count; ++k) {
            const float g = 0.25f * static_cast<float>((k + t) % 5) - 0.5f;  // exact in every type
            a.grad.span<float>()[static_cast<std::size_t>(wide.entries()[e].offset + k)] = g;
            with_floating(gradients, "test", [&](auto zero) {
              b.grad.span<decltype(zero)>()[static_cast<std::size_t>(narrow.entries()[e].offset + k)] =
                  static_cast<decltype(zero)>(g);
            });
          }
        }
        const StepState state{.step = t, .rate = 0.01};
        of_plain.step(stream, &state);
        of_mixed.step(stream, &state);
      }
      for (std::size_t e = 0; e < wide.entries().size(); ++e) {
        const ArenaEntry &from = wide.entries()[e], &to = narrow.entries()[e];
        const auto want = a.param.slice(from.offset, from.count).to_vector<float>();
        EXPECT_EQ(b.values().slice(to.offset, to.count).to_vector<float>(), want) << from.name;
        with_floating(half, "test", [&](auto zero) {
          using T = decltype(zero);
          const auto got = b.param.slice(to.offset, to.count).to_vector<T>();
          for (std::size_t k = 0; k < want.size(); ++k)
            EXPECT_EQ(static_cast<float>(got[k]), static_cast<float>(T(want[k]))) << from.name;
        });
      }
    }
  }
}

TEST(PlaneNorm, AddsSquaresAndSeesWhatIsNotFinite) {
  const Stream stream;
  std::vector<float> values(200001);
  double want = 0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    values[k] = static_cast<float>(k % 11) - 5;
    want += static_cast<double>(values[k]) * static_cast<double>(values[k]);
  }
  const Tensor plane = Tensor::from<float>(values, {200001});
  EXPECT_DOUBLE_EQ(plane_norm(stream, plane).squared, want);
  EXPECT_TRUE(plane_norm(stream, plane).finite);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    plane.span<float>()[200000] = bad;
    EXPECT_FALSE(plane_norm(stream, plane).finite);
  }
}

}  // namespace
}  // namespace trireme
