#include "core/ops/dropout.hpp"

#include <cmath>

#include "core/kernels/dropout.hpp"
#include "core/kernels/launch.hpp"

namespace trireme::ops {
namespace {

/// Everything a draw depends on, the same in forward and backward.
struct Draws {
  const StepState* state;
  std::int64_t samples, features, first_sample;
  std::uint32_t layer;
  double probability;
};

void apply(Context& context, const Draws& draws, const Tensor& x, const Destination& to) {
  with_floating(x.dtype(), "dropout", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {draws.samples, draws.features},
                kernels::Dropout<T>{.x = x.data<T>(),
                                    .y = to.tensor.data<T>(),
                                    .state = draws.state,
                                    .features = draws.features,
                                    .first_sample = draws.first_sample,
                                    .layer = draws.layer,
                                    .threshold = static_cast<std::uint32_t>(std::floor(draws.probability * 0x1p32)),
                                    .factor = static_cast<Accum<T>>(1 / (1 - draws.probability)),
                                    .beta = to.beta()});
  });
}

}  // namespace

Value dropout(Context& context, const Value& x, const DropoutOptions& options) {
  require(options.probability >= 0 && options.probability < 1,
          "dropout: the probability {} must be at least 0 and below 1", options.probability);
  if (!context.training()) return x;
  const std::uint32_t layer = context.next_layer();
  if (options.probability == 0) return x;
  require(x.shape().dims() > 0, "dropout: a scalar has no dim of samples");
  const std::int64_t rows = x.shape()[0], each = options.rows_per_sample;
  require(each > 0 && rows % each == 0, "dropout: the {} rows of {} do not divide into samples of {} rows", rows,
          x.shape(), each);
  const std::int64_t samples = rows / each;
  const Draws draws{.state = context.device_state(),
                    .samples = samples,
                    .features = samples == 0 ? 0 : x.elements() / samples,
                    .first_sample = context.first_sample(),
                    .layer = layer,
                    .probability = options.probability};
  const Tensor y = context.empty(x.shape(), x.dtype());
  apply(context, draws, x.tensor(), {y, Write::overwrite});
  return context.record({"dropout",
                         {&x, 1},
                         [draws](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           apply(c, draws, dy, g.to(0));
                         }},
                        y);
}

}  // namespace trireme::ops
