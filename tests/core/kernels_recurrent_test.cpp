// The kernels of recurrent.hpp on teams of 1, 3, 4 and 32 lanes against plain loops; the gradient against differences.
// One of the three samples has ended and keeps its state.
#include "core/kernels/recurrent.hpp"

#include <functional>

#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using kernels::Cell;

/// The numbers of one hidden unit at a step: the products of input and state by gate, and the state before.
struct Unit {
  double x[4], s[4], h, c;
};
struct NextState {
  double h, c;
};

double plain_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

NextState plain_step(Cell cell, const Unit& u) {
  if (cell == Cell::lstm) {
    const double c = plain_sigmoid(u.x[1] + u.s[1]) * u.c + plain_sigmoid(u.x[0] + u.s[0]) * std::tanh(u.x[2] + u.s[2]);
    return {plain_sigmoid(u.x[3] + u.s[3]) * std::tanh(c), c};
  }
  const double z = plain_sigmoid(u.x[1] + u.s[1]);
  const double n = std::tanh(u.x[2] + plain_sigmoid(u.x[0] + u.s[0]) * u.s[2]);
  return {(1 - z) * n + z * u.h, 0};
}

double slope(const std::function<double(double)>& f) {
  constexpr double h = 1e-5;
  return (f(h) - f(-h)) / (2 * h);
}

/// Step 1 of sequences of at most 2 times.
template <class T>
struct StepProblem {
  using A = Accum<T>;
  static constexpr std::int64_t rows = 3, time = 2, step = 1;
  Cell cell;
  std::int64_t hidden;
  std::uint32_t reverse;
  std::int64_t gates = cell == Cell::lstm ? 4 : 3, states = rows * hidden;
  std::vector<std::int32_t> lengths{2, 1, 2};
  std::vector<T> projected = test::as<T>(test::normal_values(rows * gates * hidden, 1));
  std::vector<A> recurrent = test::as<A>(test::normal_values(rows * gates * hidden, 2));
  std::vector<T> bias = test::as<T>(test::normal_values(gates * hidden, 3));
  std::vector<T> h_before = test::as<T>(test::normal_values(states, 4));
  std::vector<A> c_before = test::as<A>(test::normal_values(states, 5));
  std::vector<T> h_after = test::unset<T>(states), kept = test::unset<T>(4 * states);
  std::vector<A> c_after = test::unset<A>(states);
  std::vector<T> y = std::vector<T>(static_cast<std::size_t>(time * states), static_cast<T>(7.0f));
  std::vector<T> dy = test::as<T>(test::normal_values(time * states, 6));
  std::vector<A> dh = test::as<A>(test::normal_values(states, 7)), carry = test::as<A>(test::normal_values(states, 8)),
                 dc = test::as<A>(test::normal_values(states, 9));
  std::vector<T> dinput = test::unset<T>(rows * gates * hidden), dstate = dinput;

  kernels::RecurrentSteps steps() const { return {time, hidden, lengths.data(), reverse, cell}; }
  bool runs(std::int64_t row) const { return lengths[static_cast<std::size_t>(row)] > step; }
  /// Where a sample reads and writes: those that run have two times.
  std::int64_t place(std::int64_t row) const { return row * time + (reverse != 0 && runs(row) ? 0 : 1); }
  template <class V>
  static double at(const std::vector<V>& v, std::int64_t index) {
    return static_cast<double>(v[static_cast<std::size_t>(index)]);
  }
  Unit unit(std::int64_t row, std::int64_t j) const {
    Unit out{};
    for (std::int64_t gate = 0; gate < gates; ++gate) {
      out.x[gate] = at(projected, (row * gates + gate) * hidden + j);
      out.s[gate] = at(recurrent, (row * gates + gate) * hidden + j) + at(bias, gate * hidden + j);
    }
    out.h = at(h_before, row * hidden + j);
    out.c = cell == Cell::lstm ? at(c_before, row * hidden + j) : 0;
    return out;
  }
  void run_forward(int lanes) {
    const bool lstm = cell == Cell::lstm;
    test::run_rows(lanes, rows,
                   kernels::RecurrentForward<T>{steps(), step, projected.data(), recurrent.data(), bias.data(),
                                                h_before.data(), lstm ? c_before.data() : nullptr, h_after.data(),
                                                lstm ? c_after.data() : nullptr, kept.data(), y.data()});
  }
  void run_gradient(int lanes) {
    test::run_rows(
        lanes, rows,
        kernels::RecurrentGradient<T>{steps(), step, kept.data(), h_before.data(), c_before.data(), c_after.data(),
                                      dy.data(), dh.data(), carry.data(), dc.data(), dinput.data(), dstate.data()});
  }
};

class RecurrentTeams : public testing::TestWithParam<test::LanesAndWidth> {
 protected:
  const int lanes = GetParam().lanes;

  template <class T>
  void expect_forward(Cell cell, std::uint32_t reverse, double tolerance) {
    StepProblem<T> p{.cell = cell, .hidden = GetParam().features, .reverse = reverse};
    p.run_forward(lanes);
    test::Values h(p.h_after.size()), c = test::Values(h.size()), y(p.y.size(), 7);
    for (std::int64_t row = 0; row < p.rows; ++row) {
      for (std::int64_t j = 0; j < p.hidden; ++j) {
        const auto here = static_cast<std::size_t>(row * p.hidden + j);
        const Unit before = p.unit(row, j);
        const NextState next = p.runs(row) ? plain_step(cell, before) : NextState{before.h, before.c};
        h[here] = next.h;
        c[here] = next.c;
        y[static_cast<std::size_t>(p.place(row) * p.hidden + j)] = p.runs(row) ? next.h : 0;
      }
    }
    test::expect_near(p.h_after, h, tolerance, "hidden state");
    test::expect_near(p.y, y, tolerance, "outputs");
    if (cell == Cell::lstm) test::expect_near(p.c_after, c, tolerance, "cell");
  }

  void expect_gradient(Cell cell) {
    StepProblem<double> p{.cell = cell, .hidden = GetParam().features, .reverse = 1};
    p.run_forward(lanes);
    const auto carry = p.carry, dc = p.dc;
    p.run_gradient(lanes);
    test::Values to_input(p.dinput.size()), to_state(p.dstate.size()), to_h = carry, to_c = dc;
    for (std::int64_t row = 0; row < p.rows; ++row) {
      for (std::int64_t j = 0; j < p.hidden; ++j) {
        const std::int64_t here = row * p.hidden + j, at = p.place(row);
        const double past = p.at(p.dh, here) + p.at(carry, here), arrived = past + p.at(p.dy, at * p.hidden + j);
        // What moving one number of the unit does to the sum of what is kept, each times its gradient.
        const auto effect = [&](const auto& number_of) {
          return slope([&](double by) {
            Unit moved = p.unit(row, j);
            number_of(moved) += by;
            const NextState next = plain_step(cell, moved);
            return arrived * next.h + p.at(dc, here) * next.c;
          });
        };
        to_h[static_cast<std::size_t>(here)] = p.runs(row) ? effect([](Unit& u) -> double& { return u.h; }) : past;
        if (p.runs(row) && cell == Cell::lstm)
          to_c[static_cast<std::size_t>(here)] = effect([](Unit& u) -> double& { return u.c; });
        for (std::int64_t gate = 0; gate < p.gates; ++gate) {
          const auto in = static_cast<std::size_t>((row * p.gates + gate) * p.hidden + j);
          to_input[in] = p.runs(row) ? effect([&](Unit& u) -> double& { return u.x[gate]; }) : 0;
          to_state[in] = p.runs(row) ? effect([&](Unit& u) -> double& { return u.s[gate]; }) : 0;
        }
      }
    }
    if (cell == Cell::gru) test::expect_near(p.dinput, to_input, 1e-7, "gradient of the input's products");
    test::expect_near(p.dstate, to_state, 1e-7, "gradient of the state's products");
    test::expect_near(p.carry, to_h, 1e-7, "gradient past the products");
    if (cell == Cell::lstm) test::expect_near(p.dc, to_c, 1e-7, "gradient of the cell");
  }
};

TEST_P(RecurrentTeams, AStepIsThatOfPlainLoops) {
  for (const Cell cell : {Cell::lstm, Cell::gru}) {
    expect_forward<double>(cell, 0, 1e-12);
    expect_forward<float>(cell, 1, 1e-6);
    expect_forward<BFloat16>(cell, 1, test::half_tolerance<BFloat16>);
  }
}

TEST_P(RecurrentTeams, TheGradientOfAStepIsThatOfDifferences) {
  for (const Cell cell : {Cell::lstm, Cell::gru}) expect_gradient(cell);
}

/// The input's products, the gates and their gradients in one memory.
TEST_P(RecurrentTeams, AnLstmKeepsItsGatesInThePlaceOfItsProducts) {
  StepProblem<float> apart{.cell = Cell::lstm, .hidden = GetParam().features, .reverse = 1};
  apart.run_forward(lanes);
  apart.run_gradient(lanes);
  StepProblem<float> one{.cell = Cell::lstm, .hidden = GetParam().features, .reverse = 1};
  one.kept = one.projected;
  test::run_rows(lanes, one.rows,
                 kernels::RecurrentForward<float>{
                     one.steps(), one.step, one.kept.data(), one.recurrent.data(), one.bias.data(), one.h_before.data(),
                     one.c_before.data(), one.h_after.data(), one.c_after.data(), one.kept.data(), one.y.data()});
  EXPECT_EQ(one.h_after, apart.h_after);
  test::run_rows(
      lanes, one.rows,
      kernels::RecurrentGradient<float>{one.steps(), one.step, one.kept.data(), one.h_before.data(),
                                        one.c_before.data(), one.c_after.data(), one.dy.data(), one.dh.data(),
                                        one.carry.data(), one.dc.data(), one.kept.data(), one.kept.data()});
  EXPECT_EQ(one.kept, apart.dstate);
  EXPECT_EQ(one.dc, apart.dc);
}

/// Threads compute columns of the state each.
TEST_P(RecurrentTeams, SharesOfTheColumnsAreTheWhole) {
  for (const Cell cell : {Cell::lstm, Cell::gru}) {
    StepProblem<double> whole{.cell = cell, .hidden = GetParam().features, .reverse = 1};
    whole.run_forward(lanes);
    whole.run_gradient(lanes);
    StepProblem<double> parts{.cell = cell, .hidden = GetParam().features, .reverse = 1};
    const std::int64_t half = parts.hidden / 2;
    for (const auto& [first, width] : {std::pair{std::int64_t{0}, half}, {half, parts.hidden - half}}) {
      kernels::RecurrentSteps in = parts.steps();
      in.first = first;
      in.width = width;
      const auto share = [&, first = first, width = width](const std::vector<double>& all, std::int64_t gates) {
        std::vector<double> out;
        for (std::int64_t k = 0; k < parts.rows * gates; ++k)
          for (std::int64_t j = 0; j < width; ++j)
            out.push_back(all[static_cast<std::size_t>(k * parts.hidden + first + j)]);
        return out;
      };
      const auto recurrent = share(parts.recurrent, parts.gates), dh = share(parts.dh, 1);
      const bool lstm = cell == Cell::lstm;
      test::run_rows(lanes, parts.rows,
                     kernels::RecurrentForward<double>{
                         in, parts.step, parts.projected.data(), recurrent.data(), parts.bias.data(),
                         parts.h_before.data(), lstm ? parts.c_before.data() : nullptr, parts.h_after.data(),
                         lstm ? parts.c_after.data() : nullptr, parts.kept.data(), parts.y.data()});
      test::run_rows(lanes, parts.rows,
                     kernels::RecurrentGradient<double>{in, parts.step, parts.kept.data(), parts.h_before.data(),
                                                        parts.c_before.data(), parts.c_after.data(), parts.dy.data(),
                                                        dh.data(), parts.carry.data(), parts.dc.data(),
                                                        parts.dinput.data(), parts.dstate.data()});
    }
    test::expect_near(parts.h_after, test::Values(whole.h_after.begin(), whole.h_after.end()), 1e-14, "hidden state");
    test::expect_near(parts.dstate, test::Values(whole.dstate.begin(), whole.dstate.end()), 1e-14, "gradient");
    test::expect_near(parts.carry, test::Values(whole.carry.begin(), whole.carry.end()), 1e-14, "carry");
  }
}

/// Sequences come back from the order of the steps, added to half of what was there.
TEST_P(RecurrentTeams, SequencesGoToTheStepsAndBack) {
  const StepProblem<double> p{.cell = Cell::gru, .hidden = GetParam().features, .reverse = 1};
  const std::int64_t n = p.time * p.states;
  const auto x = test::as<double>(test::normal_values(n, 11)), old = test::as<double>(test::normal_values(n, 12));
  auto steps = test::unset<double>(n), back = old;
  const kernels::SequenceToSteps<double> there{p.steps(), p.rows, p.hidden, x.data(), steps.data()};
  test::run_rows(lanes, p.time * p.rows, there);
  test::run_rows(lanes, p.time * p.rows,
                 kernels::SequenceToSteps<double>{p.steps(), p.rows, p.hidden, steps.data(), back.data(), 1, 0.5});
  for (std::int64_t row = 0; row < p.rows; ++row)
    for (std::int64_t j = 0; j < p.hidden; ++j)
      EXPECT_EQ(p.at(steps, (p.step * p.rows + row) * p.hidden + j), p.at(x, p.place(row) * p.hidden + j));
  test::Values wanted(x.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = x[i] + 0.5 * old[i];
  test::expect_near(back, wanted, 1e-14, "sequences");
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, RecurrentTeams, test::lanes_and_widths(), test::name_of_case);

}  // namespace
}  // namespace trireme
