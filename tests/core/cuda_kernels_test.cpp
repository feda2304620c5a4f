// Row, column and optimizer kernels on each device, against plain loops in f64: rows short enough for a warp, long
// enough for a block and for a large one, with widths that do and do not divide into packs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/device/stream.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/layer_norm.hpp"
#include "core/kernels/optimizer.hpp"
#include "core/kernels/softmax.hpp"
#include "core/tensor/tensor.hpp"
#include "tests/support/devices.hpp"

namespace trireme {
namespace {

using Values = std::vector<double>;

struct Size {
  std::int64_t rows, features;
  double at(const Values& v, std::int64_t r, std::int64_t c) const {
    return v[static_cast<std::size_t>(r * features + c)];
  }
};
constexpr Size sizes[] = {{1, 1}, {5, 7}, {67, 80}, {300, 128}, {9, 1024}, {9, 1025}, {3, 8192}, {2, 20011}};

class KernelsOnDevice : public test::DeviceTest {
 protected:
  template <class T>
  Tensor there(const std::vector<T>& values) const {
    return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())}, device());
  }
  template <class T>
  Tensor nothing(std::int64_t n) const {
    return there(std::vector<T>(static_cast<std::size_t>(n), T(Accum<T>(NAN))));
  }
  template <class T>
  void layer_norm(const Size& size, double tolerance) const;
  template <class T>
  void layer_norm_gradients(const Size& size, double tolerance) const;
  template <class T>
  void softmax(const Size& size, double tolerance) const;
  template <class T>
  void adamw(std::int64_t n, double tolerance) const;
};
TRIREME_FOR_EACH_DEVICE(KernelsOnDevice);

struct Moments {
  double mean = 0, rstd = 0;
};
Moments moments_of(const Values& x, const Size& size, std::int64_t row) {
  Moments m;
  double variance = 0;
  const auto n = static_cast<double>(size.features);
  for (std::int64_t c = 0; c < size.features; ++c) m.mean += size.at(x, row, c) / n;
  for (std::int64_t c = 0; c < size.features; ++c) variance += std::pow(size.at(x, row, c) - m.mean, 2) / n;
  m.rstd = 1 / std::sqrt(variance + 1e-5);
  return m;
}

testing::Message describe(DType dtype, const Size& size) {
  return testing::Message() << name_of(dtype) << ", " << size.rows << " rows of " << size.features;
}

template <class T>
void KernelsOnDevice::layer_norm(const Size& size, double tolerance) const {
  SCOPED_TRACE(describe(dtype_of<T>, size));
  const std::int64_t n = size.rows * size.features;
  const auto x = test::normal<T>(n, 1), gain = test::normal<T>(size.features, 2),
             bias = test::normal<T>(size.features, 3);
  const Tensor in = there(x), gains = there(gain), biases = there(bias), y = nothing<T>(n);
  const Tensor mean = nothing<Accum<T>>(size.rows), rstd = nothing<Accum<T>>(size.rows);
  const Stream stream(device());
  launch_rows(stream, {size.rows, size.features},
              kernels::LayerNormForward<T>{.x = in.data<T>(),
                                           .gain = gains.data<T>(),
                                           .bias = biases.data<T>(),
                                           .y = y.data<T>(),
                                           .mean = mean.data<Accum<T>>(),
                                           .rstd = rstd.data<Accum<T>>(),
                                           .features = size.features,
                                           .epsilon = Accum<T>(1e-5)});
  const Values xs = test::as_double(x), gs = test::as_double(gain), bs = test::as_double(bias);
  Values wanted;
  for (std::int64_t r = 0; r < size.rows; ++r) {
    const Moments m = moments_of(xs, size, r);
    for (std::int64_t c = 0; c < size.features; ++c)
      wanted.push_back((size.at(xs, r, c) - m.mean) * m.rstd * gs[static_cast<std::size_t>(c)] +
                       bs[static_cast<std::size_t>(c)]);
  }
  test::expect_near(y.to_vector<T>(), wanted, tolerance);
}

TEST_P(KernelsOnDevice, LayerNorm) {
  for (const Size& size : sizes) {
    layer_norm<float>(size, 2e-5);
    layer_norm<double>(size, 1e-12);
    layer_norm<BFloat16>(size, 1e-2);
  }
}

/// What the gradients of one layer norm are in f64, and the statistics the forward pass kept.
struct KernelGradients {
  Values dx, dgain, dbias, mean, rstd;
};
KernelGradients gradients_of(const Values& x, const Values& gain, const Values& dy, const Size& size) {
  KernelGradients out;
  out.dgain = out.dbias = Values(gain.size());
  const auto n = static_cast<double>(size.features);
  for (std::int64_t r = 0; r < size.rows; ++r) {
    const Moments m = moments_of(x, size, r);
    out.mean.push_back(m.mean);
    out.rstd.push_back(m.rstd);
    double average = 0, along = 0;
    for (std::int64_t c = 0; c < size.features; ++c) {
      const auto k = static_cast<std::size_t>(c);
      const double xhat = (size.at(x, r, c) - m.mean) * m.rstd, g = size.at(dy, r, c);
      average += g * gain[k] / n;
      along += g * gain[k] * xhat / n;
      out.dgain[k] += g * xhat;
      out.dbias[k] += g;
    }
    for (std::int64_t c = 0; c < size.features; ++c)
      out.dx.push_back(m.rstd * (size.at(dy, r, c) * gain[static_cast<std::size_t>(c)] - average -
                                 (size.at(x, r, c) - m.mean) * m.rstd * along));
  }
  return out;
}

/// The column sums of what the stripes left.
template <class A>
Values joined(const Tensor& parts, const Size& size) {
  Values out(static_cast<std::size_t>(size.features));
  const Values values = test::as_double(parts.to_vector<A>());
  for (std::size_t i = 0; i < values.size(); ++i) out[i % out.size()] += values[i];
  return out;
}

template <class T>
void KernelsOnDevice::layer_norm_gradients(const Size& size, double tolerance) const {
  using A = Accum<T>;
  SCOPED_TRACE(describe(dtype_of<T>, size));
  const std::int64_t n = size.rows * size.features;
  const auto x = test::normal<T>(n, 1), gain = test::normal<T>(size.features, 2), dy = test::normal<T>(n, 4);
  const KernelGradients wanted = gradients_of(test::as_double(x), test::as_double(gain), test::as_double(dy), size);
  const Tensor in = there(x), gains = there(gain), gradient = there(dy), dx = nothing<T>(n);
  const Tensor mean = there(std::vector<A>(wanted.mean.begin(), wanted.mean.end()));
  const Tensor rstd = there(std::vector<A>(wanted.rstd.begin(), wanted.rstd.end()));
  const Stripes stripes = stripes_for(size.rows);
  const Tensor gain_parts = nothing<A>(stripes.count * size.features), bias_parts = gain_parts.clone();
  const Stream stream(device());
  const kernels::LayerNormInputGradient<T> of_input{.x = in.data<T>(),
                                                    .gain = gains.data<T>(),
                                                    .dy = gradient.data<T>(),
                                                    .mean = mean.data<A>(),
                                                    .rstd = rstd.data<A>(),
                                                    .dx = dx.data<T>(),
                                                    .features = size.features,
                                                    .beta = 0};
  launch_rows(stream, {size.rows, size.features}, of_input);
  const kernels::LayerNormParameterGradient<T> of_parameters{.x = in.data<T>(),
                                                             .dy = gradient.data<T>(),
                                                             .mean = mean.data<A>(),
                                                             .rstd = rstd.data<A>(),
                                                             .dgain = gain_parts.data<A>(),
                                                             .dbias = bias_parts.data<A>(),
                                                             .rows = size.rows,
                                                             .features = size.features,
                                                             .stripe_rows = stripes.rows_each};
  launch_columns(stream, {stripes.count, size.features, pack_width<T>}, of_parameters);
  test::expect_near(dx.to_vector<T>(), wanted.dx, tolerance);
  const double per_sum = 1e-2 * tolerance * static_cast<double>(size.rows) + tolerance;
  test::expect_near(joined<A>(gain_parts, size), wanted.dgain, per_sum);
  test::expect_near(joined<A>(bias_parts, size), wanted.dbias, per_sum);
}

TEST_P(KernelsOnDevice, LayerNormGradients) {
  for (const Size& size : sizes) {
    layer_norm_gradients<float>(size, 2e-4);
    layer_norm_gradients<double>(size, 1e-11);
    layer_norm_gradients<BFloat16>(size, 1e-2);
  }
}

template <class T>
void KernelsOnDevice::softmax(const Size& size, double tolerance) const {
  SCOPED_TRACE(describe(dtype_of<T>, size));
  const std::int64_t n = size.rows * size.features;
  const auto x = test::normal<T>(n, 1);
  const Tensor in = there(x), y = nothing<T>(n);
  const Stream stream(device());
  launch_rows(stream, {size.rows, size.features},
              kernels::SoftmaxForward<T>{.x = in.data<T>(), .y = y.data<T>(), .features = size.features});
  const Values xs = test::as_double(x);
  Values wanted;
  for (std::int64_t r = 0; r < size.rows; ++r) {
    double total = 0;
    for (std::int64_t c = 0; c < size.features; ++c) total += std::exp(size.at(xs, r, c));
    for (std::int64_t c = 0; c < size.features; ++c) wanted.push_back(std::exp(size.at(xs, r, c)) / total);
  }
  test::expect_near(y.to_vector<T>(), wanted, tolerance);
}

TEST_P(KernelsOnDevice, Softmax) {
  for (const Size& size : sizes) {
    softmax<float>(size, 1e-6);
    softmax<double>(size, 1e-14);
    softmax<BFloat16>(size, 4e-3);
  }
}

template <class T>
void KernelsOnDevice::adamw(std::int64_t n, double tolerance) const {
  SCOPED_TRACE(describe(dtype_of<T>, {1, n}));
  const auto start = test::normal<T>(n, 1), grad = test::normal<T>(n, 2);
  const Tensor param = there(start), gradient = there(grad);
  const Tensor moment1 = Tensor::zeros(Shape{n}, dtype_of<T>, device()), moment2 = moment1.clone();
  const Tensor state = Tensor::zeros(Shape{sizeof(StepState)}, DType::u8, device());
  std::vector<std::uint8_t> bytes(sizeof(StepState));
  const Stream stream(device());
  Values wanted = test::as_double(start), m(wanted.size()), v(wanted.size());
  for (int step = 0; step < 3; ++step) {
    const StepState numbers{.step = step, .rate = 0.125F, .gradient_scale = 0.5F, .skip = step == 1 ? 1U : 0U};
    std::memcpy(bytes.data(), &numbers, sizeof numbers);
    state.copy_from(there(bytes));
    launch_elements(
        stream, n,
        kernels::AdamUpdate<T>{.of = {param.data<T>(), param.data<T>(), gradient.data<T>(), moment1.data<T>()},
                               .moment2 = moment2.data<T>(),
                               .state = static_cast<const StepState*>(state.raw()),
                               .beta1 = T(0.9),
                               .beta2 = T(0.999),
                               .epsilon = T(1e-8),
                               .l2 = 0,
                               .decoupled = T(0.01),
                               .log_beta1 = std::log(0.9),
                               .log_beta2 = std::log(0.999)});
    if (step == 1) continue;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double g = 0.5 * static_cast<double>(grad[i]);
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.999 * v[i] + 0.001 * g * g;
      const double mean = m[i] / (1 - std::pow(0.9, step + 1)), square = v[i] / (1 - std::pow(0.999, step + 1));
      wanted[i] -= 0.125 * (mean / (std::sqrt(square) + 1e-8) + 0.01 * wanted[i]);
    }
  }
  test::expect_near(param.to_vector<T>(), wanted, tolerance);
  test::expect_near(moment2.to_vector<T>(), v, tolerance);
}

TEST_P(KernelsOnDevice, AdamWReadsTheStepFromTheDevice) {
  for (const std::int64_t n : {1, 6, 1000, 100003}) {
    adamw<float>(n, 2e-5);
    adamw<double>(n, 1e-13);
  }
}

}  // namespace
}  // namespace trireme
