// Rows of the gradient check for ops over rows (sums, softmax, norms, losses), dropout and changes of shape.
#include "core/ops/cross_entropy.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/ops/softmax.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

using ops::Over;

GradientCase sum_over(const std::string& variant, const Shape& shape, Over over) {
  return {.op = "sum", .variant = variant, .shapes = {shape}, .function = [over](Context& c, const Inputs& x) {
            return ops::sum(c, x[0], over);
          }};
}
GradientCase mean_over(const std::string& variant, const Shape& shape, Over over) {
  return {.op = "mean", .variant = variant, .shapes = {shape}, .function = [over](Context& c, const Inputs& x) {
            return ops::mean(c, x[0], over);
          }};
}

const GradientCases sums({sum_over("all", {3, 7}, Over::all), sum_over("first", {5, 2, 3}, Over::first_dim),
                          sum_over("first_wide", {3, 21}, Over::first_dim),
                          sum_over("first_column", {9, 1}, Over::first_dim),
                          sum_over("last", {2, 3, 7}, Over::last_dim), mean_over("all", {3, 7}, Over::all),
                          mean_over("first", {5, 6}, Over::first_dim), mean_over("last", {4, 9}, Over::last_dim)});

const GradientCases softmaxes({
    {.op = "softmax",
     .variant = "",
     .shapes = {{3, 10}},
     .function = [](Context& c, const Inputs& x) { return ops::softmax(c, x[0]); }},
    {.op = "softmax",
     .variant = "wide",
     .shapes = {{2, 37}},
     .function = [](Context& c, const Inputs& x) { return ops::softmax(c, x[0]); }},
    {.op = "log_softmax",
     .variant = "",
     .shapes = {{2, 2, 21}},
     .function = [](Context& c, const Inputs& x) { return ops::log_softmax(c, x[0]); }},
});

Value normalised(Context& c, const Inputs& x) { return ops::layer_norm(c, x[0], {x[1], x[2]}); }
const GradientCases row_norms({
    {.op = "layer_norm", .variant = "", .shapes = {{4, 8}, {8}, {8}}, .function = normalised},
    {.op = "layer_norm", .variant = "odd", .shapes = {{2, 3, 21}, {21}, {21}}, .function = normalised},
});

const GradientCases dropouts({
    {.op = "dropout",
     .variant = "",
     .shapes = {{4, 37}},
     .function = [](Context& c, const Inputs& x) { return ops::dropout(c, x[0], {.probability = 0.3}); }},
    {.op = "dropout",
     .variant = "rows_of_a_sample",
     .shapes = {{6, 5}},
     .function = [](Context& c,
                    const Inputs& x) { return ops::dropout(c, x[0], {.probability = 0.5, .rows_per_sample = 3}); }},
});

GradientCase loss(const std::string& variant, const ops::CrossEntropyOptions& options) {
  return {.op = "cross_entropy",
          .variant = variant,
          .shapes = {{4, 11}},
          .function = [options](Context& c, const Inputs& x) {
            const Device device = c.device();
            const Tensor labels = device.is_meta() ? Tensor::empty({4}, DType::i32, device)
                                                   : Tensor::from<std::int32_t>({3, 10, 0, 7}, {4}, device);
            ops::CrossEntropyOptions here = options;
            if (here.weights) here.weights = here.weights.clone(device);
            return ops::cross_entropy(c, x[0], labels, here).loss;
          }};
}
const GradientCases row_losses({loss("", {}), loss("smoothed", {.smoothing = 0.1}), loss("ignoring", {.ignore = 10}),
                                loss("weighted",
                                     {.smoothing = 0.2, .weights = Tensor::from<float>({1, 0, 0.5, 2}, {4})})});

GradientCase permutation(const std::string& variant, const Shape& shape, std::vector<int> order) {
  return {.op = "permute", .variant = variant, .shapes = {shape}, .function = [order](Context& c, const Inputs& x) {
            return ops::permute(c, x[0], order);
          }};
}
const GradientCases permutations({permutation("images", {2, 3, 2, 3}, {0, 3, 1, 2}),
                                  permutation("inner_stays", {2, 3, 4}, {1, 0, 2}),
                                  permutation("reversed", {2, 3, 4}, {2, 1, 0}),
                                  permutation("identity", {2, 3}, {0, 1}),
                                  permutation("units", {1, 3, 1, 4}, {3, 2, 0, 1})});

Value first_half(Context& c, const Inputs& x) { return ops::slice(c, x[0], {.dim = 0, .first = 1, .count = 2}); }
/// Two overlapping slices: the second contribution adds where the first one wrote zeros.
Value overlapping(Context& c, const Inputs& x) {
  const Value parts[] = {ops::slice(c, x[0], {.dim = 1, .first = 0, .count = 3}),
                         ops::slice(c, x[0], {.dim = -1, .first = 2, .count = 3})};
  return ops::concat(c, parts, 1);
}
const GradientCases shapes({
    {.op = "reshape",
     .variant = "",
     .shapes = {{2, 6}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::reshape(c, x[0], {3, 4});
         }},
    {.op = "transpose",
     .variant = "",
     .shapes = {{2, 3, 19}},
     .function = [](Context& c, const Inputs& x) { return ops::transpose(c, x[0]); }},
    {.op = "concat",
     .variant = "middle",
     .shapes = {{2, 1, 3}, {2, 2, 3}, {2, 4, 3}},
     .function = [](Context& c, const Inputs& x) { return ops::concat(c, x, 1); }},
    {.op = "concat",
     .variant = "last",
     .shapes = {{4, 1}, {4, 5}},
     .function = [](Context& c, const Inputs& x) { return ops::concat(c, x, -1); }},
    {.op = "concat",
     .variant = "twice_the_same",
     .shapes = {{2, 3}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::concat(c, Inputs{x[0], x[0]}, 0);
         }},
    {.op = "slice", .variant = "rows", .shapes = {{4, 3}}, .function = first_half},
    {.op = "slice", .variant = "overlapping", .shapes = {{2, 5}}, .function = overlapping},
});

}  // namespace
}  // namespace trireme
