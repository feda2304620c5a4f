#include "tests/support/gradient_check.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "core/base/error.hpp"
#include "tests/support/poisoned_memory.hpp"

namespace trireme {
namespace {

/// A check has leaves, not parameters.
struct NoGradientStore final : GradientStore {
  Destination acquire(Parameter& parameter) override {
    fail(ExitCode::failure, "gradient check: the parameter {} was used; pass it as an input", parameter.name());
  }
  void ready(Parameter&) override {}
};

/// Keeps gradients of parameters in f32.
struct WideStore final : GradientStore {
  std::map<const Parameter*, Tensor> places;
  Destination acquire(Parameter& parameter) override {
    const auto [at, fresh] = places.try_emplace(&parameter);
    if (fresh) at->second = Tensor::empty(parameter.shape(), DType::f32);
    return {at->second, fresh ? Write::overwrite : Write::accumulate};
  }
  void ready(Parameter&) override {}
};

std::vector<double> uniform(std::int64_t count, std::mt19937_64& bits, double low, double high) {
  std::uniform_real_distribution<double> draw(low, high);
  std::vector<double> out(static_cast<std::size_t>(count));
  for (double& value : out) {
    value = draw(bits);
    if (std::abs(value) < 0.05) value = value < 0 ? value - 0.05 : value + 0.05;
  }
  return out;
}

std::vector<double> to_doubles(const Tensor& tensor) {
  return with_floating(tensor.dtype(), "gradient check", [&](auto zero) {
    std::vector<double> out;
    for (const auto value : tensor.to_vector<decltype(zero)>()) out.push_back(static_cast<double>(value));
    return out;
  });
}

Tensor to_tensor(const std::vector<double>& values, const Shape& shape, const Setting& setting) {
  return with_floating(setting.dtype, "gradient check", [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> out(values.size());
    std::transform(values.begin(), values.end(), out.begin(), [](double v) { return static_cast<T>(v); });
    return Tensor::from(out, shape, setting.device);
  });
}

struct Draws {
  DType rounded = DType::f64;  ///< All values are those of this type.
  std::vector<std::vector<double>> inputs;
  /// Factors of the inputs in the loss, for a contribution that is there before the op's.
  std::vector<std::vector<double>> extra;
  std::mt19937_64 bits;
};

std::vector<double> rounded_to(DType dtype, std::vector<double> values) {
  with_floating(dtype, "gradient check", [&](auto zero) {
    for (double& value : values) value = static_cast<double>(static_cast<decltype(zero)>(value));
  });
  return values;
}

/// Everything random comes from here, in one order, so that all passes of a check see the same numbers.
Draws draw_inputs(const GradientCase& row, std::uint64_t seed, DType rounded = DType::f64) {
  Draws out;
  out.rounded = rounded;
  out.bits.seed(seed);
  for (const Shape& shape : row.shapes) out.inputs.push_back(uniform(shape.elements(), out.bits, row.low, row.high));
  for (const Shape& shape : row.shapes) out.extra.push_back(uniform(shape.elements(), out.bits, -1, 1));
  for (auto* const all : {&out.inputs, &out.extra})
    for (auto& values : *all) values = rounded_to(rounded, std::move(values));
  return out;
}

std::vector<double> draw_weights(const Draws& draws, std::int64_t count) {
  std::mt19937_64 bits = draws.bits;
  return rounded_to(draws.rounded, uniform(count, bits, -1, 1));
}

/// Writes or adds weight * seed, in the tensor's own type.
void write_weights(const Destination& to, const std::vector<double>& weights) {
  with_floating(to.tensor.dtype(), "gradient check", [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> out = to.tensor.to_vector<T>();
    for (std::size_t i = 0; i < weights.size(); ++i)
      out[i] = static_cast<T>(static_cast<double>(static_cast<T>(weights[i])) +
                              (to.mode == Write::accumulate ? static_cast<double>(out[i]) : 0.0));
    to.tensor.copy_from(Tensor::from(out, to.tensor.shape()));
  });
}

/// A scalar whose gradient is `factors[k]` for part k.
Value weighted_sum(Context& context, const Inputs& parts, std::vector<std::vector<double>> factors) {
  const Tensor loss = context.zeros({1}, parts.front().dtype());
  return context.record({"weighted_sum", parts,
                         [factors = std::move(factors)](Context&, Gradients& g) {
                           for (std::size_t k = 0; k < factors.size(); ++k)
                             if (g.wanted(static_cast<int>(k))) write_weights(g.to(static_cast<int>(k)), factors[k]);
                         }},
                        loss);
}

/// A training pass.
struct CheckPass {
  Stream stream;
  test::PoisonedMemory memory;
  Context context{stream, memory};
  StepState state{.step = 3, .random_seed = 7};
  NoGradientStore store;
  Tape tape{store};
  explicit CheckPass(const GradientCase& row, Device device = Device::cpu()) : stream(device), memory(device) {
    const std::int64_t rows = row.shapes.empty() || row.shapes[0].dims() == 0 ? 1 : row.shapes[0][0];
    context.begin_training({.tape = &tape, .state = &state, .peers = nullptr, .first_sample = 0, .global_rows = rows});
  }
};

double loss_of(const GradientCase& row, const Draws& draws, const std::vector<std::vector<double>>& inputs) {
  CheckPass pass(row);
  Inputs values;
  for (std::size_t k = 0; k < inputs.size(); ++k)
    values.push_back(pass.tape.watch(to_tensor(inputs[k], row.shapes[k], {})));
  const std::vector<double> y = to_doubles(row.function(pass.context, values).tensor());
  const std::vector<double> weights = draw_weights(draws, static_cast<std::int64_t>(y.size()));
  double loss = 0;
  for (std::size_t i = 0; i < y.size(); ++i) loss += weights[i] * y[i];
  return loss;
}

Computed compute_from(const GradientCase& row, const Draws& draws, const Setting& setting) {
  CheckPass pass(row, setting.device);
  Inputs values;
  for (std::size_t k = 0; k < row.shapes.size(); ++k)
    values.push_back(pass.tape.watch(to_tensor(draws.inputs[k], row.shapes[k], setting)));
  const Value y = row.function(pass.context, values);
  Computed out{y.shape(), to_doubles(y.tensor()), {}};

  Inputs parts{y};
  std::vector<std::vector<double>> factors{draw_weights(draws, y.elements())};
  if (setting.contribution == Contribution::second) {
    parts.insert(parts.end(), values.begin(), values.end());
    factors.insert(factors.end(), draws.extra.begin(), draws.extra.end());
  }
  pass.tape.backward(pass.context, weighted_sum(pass.context, parts, std::move(factors)), 1);
  for (const Value& value : values) {
    const Tensor gradient = pass.tape.gradient_of(value);
    out.gradients.push_back(gradient ? to_doubles(gradient)
                                     : std::vector<double>(static_cast<std::size_t>(value.elements()), 0.0));
  }
  return out;
}

/// The gradients of inputs that are parameters of type `half`, kept in f32.
std::vector<std::vector<double>> compute_parameters(const GradientCase& row, const Draws& draws, DType half) {
  WideStore store;
  Tape tape(store);
  CheckPass pass(row);
  pass.context.begin_training({.tape = &tape, .state = &pass.state, .global_rows = pass.context.global_rows()});
  std::vector<Parameter> parameters;
  for (const Shape& shape : row.shapes) parameters.emplace_back(shape, Initializer::zeros());
  Inputs values;
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    parameters[k].bind(to_tensor(draws.inputs[k], row.shapes[k], {.dtype = half}), fmt::format("input {}", k),
                       static_cast<int>(k));
    values.push_back(tape.use(parameters[k]));
  }
  const Value y = row.function(pass.context, values);
  Inputs parts{y};
  parts.insert(parts.end(), values.begin(), values.end());
  std::vector<std::vector<double>> factors{draw_weights(draws, y.elements())};
  factors.insert(factors.end(), draws.extra.begin(), draws.extra.end());
  tape.backward(pass.context, weighted_sum(pass.context, parts, std::move(factors)), 1);
  std::vector<std::vector<double>> out;
  for (const Parameter& parameter : parameters) out.push_back(to_doubles(store.places.at(&parameter)));
  return out;
}

double largest(const std::vector<double>& values) {
  double out = 1e-3;
  for (const double v : values) out = std::max(out, std::abs(v));
  return out;
}

/// The first element that differs by more than `tolerance` times the largest wanted value.
std::string compare(const std::string& what, const std::vector<double>& got, const std::vector<double>& want,
                    double tolerance) {
  if (got.size() != want.size()) return fmt::format("{}: {} values, wanted {}", what, got.size(), want.size());
  const double allowed = tolerance * largest(want);
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= allowed))
      return fmt::format("{}, element {}: got {:.12g}, wanted {:.12g} +- {:.2g}", what, i, got[i], want[i], allowed);
  return {};
}

std::string check_differences(const GradientCase& row, const Draws& draws, const Computed& got) {
  for (std::size_t k = 0; k < draws.inputs.size(); ++k) {
    std::vector<double> want(draws.inputs[k].size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      auto inputs = draws.inputs;
      inputs[k][i] = draws.inputs[k][i] + row.step;
      const double above = loss_of(row, draws, inputs);
      inputs[k][i] = draws.inputs[k][i] - row.step;
      want[i] = (above - loss_of(row, draws, inputs)) / (2 * row.step);
    }
    const std::string error = compare(fmt::format("gradient of input {}", k), got.gradients[k], want, row.tolerance);
    if (!error.empty()) return error;
  }
  return {};
}

std::string check_accumulation(const Draws& draws, const Computed& first, const Computed& second) {
  for (std::size_t k = 0; k < first.gradients.size(); ++k) {
    std::vector<double> want = first.gradients[k];
    for (std::size_t i = 0; i < want.size(); ++i) want[i] += draws.extra[k][i];
    const std::string error =
        compare(fmt::format("gradient of input {} added to an earlier one", k), second.gradients[k], want, 1e-12);
    if (!error.empty()) return error;
  }
  return {};
}

std::string check_f32(const GradientCase& row, const Computed& want, std::uint64_t seed) {
  if (row.f32_tolerance == 0) return {};
  const Computed got = compute(row, DType::f32, Contribution::first, seed);
  std::string error = compare("output in f32", got.output, want.output, row.f32_tolerance);
  for (std::size_t k = 0; k < got.gradients.size() && error.empty(); ++k)
    error =
        compare(fmt::format("gradient of input {} in f32", k), got.gradients[k], want.gradients[k], row.f32_tolerance);
  return error;
}

}  // namespace

std::vector<GradientCase>& gradient_cases() {
  static std::vector<GradientCase> rows;
  return rows;
}

GradientCases::GradientCases(std::vector<GradientCase> rows) {
  for (GradientCase& row : rows) gradient_cases().push_back(std::move(row));
}

Computed compute(const GradientCase& row, DType dtype, Contribution contribution, std::uint64_t seed) {
  return compute(row, {dtype, Device::cpu(), contribution}, seed);
}

Computed compute(const GradientCase& row, const Setting& setting, std::uint64_t seed) {
  return compute_from(row, draw_inputs(row, seed), setting);
}

std::string check_gradient(const GradientCase& row, std::uint64_t seed) {
  const Draws draws = draw_inputs(row, seed);
  const Computed first = compute(row, DType::f64, Contribution::first, seed);
  std::string error = check_differences(row, draws, first);
  if (error.empty()) error = check_accumulation(draws, first, compute(row, DType::f64, Contribution::second, seed));
  if (error.empty()) error = check_f32(row, first, seed);
  return error.empty() ? error : fmt::format("{} (seed {}): {}", row.name(), seed, error);
}

std::string check_half(const GradientCase& row, DType half, std::uint64_t seed) {
  const double tolerance = row.half_tolerance * (half == DType::bf16 ? 0x1p-7 : 0x1p-10);
  const Draws draws = draw_inputs(row, seed, half);
  const Computed want = compute_from(row, draws, {.contribution = Contribution::second});
  const Computed got = compute_from(row, draws, {.dtype = half, .contribution = Contribution::second});
  std::string error = compare("output", got.output, want.output, tolerance);
  for (std::size_t k = 0; k < got.gradients.size() && error.empty(); ++k)
    error = compare(fmt::format("gradient of input {}", k), got.gradients[k], want.gradients[k], tolerance);
  const auto kept = error.empty() ? compute_parameters(row, draws, half) : std::vector<std::vector<double>>();
  for (std::size_t k = 0; k < kept.size() && error.empty(); ++k)
    error = compare(fmt::format("f32 gradient of parameter {}", k), kept[k], want.gradients[k], tolerance);
  return error.empty() ? error : fmt::format("{} in {} (seed {}): {}", row.name(), name_of(half), seed, error);
}

Shape meta_shape(const GradientCase& row, DType dtype) {
  const Stream stream{Device::meta()};
  Context context{stream, system_allocator(Device::meta())};
  Inputs values;
  for (const Shape& shape : row.shapes) values.emplace_back(Tensor::empty(shape, dtype, Device::meta()));
  return row.function(context, values).shape();
}

}  // namespace trireme
