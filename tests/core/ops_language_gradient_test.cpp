// Rows of the gradient check for the ops of language models.
#include "core/ops/attention.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/gated.hpp"
#include "core/ops/linear_cross_entropy.hpp"
#include "core/ops/rms_norm.hpp"
#include "core/ops/rotary.hpp"
#include "core/ops/shape_ops.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

/// Whole numbers on the device of the pass.
Tensor whole(Context& c, const std::vector<std::int32_t>& values, const Shape& shape) {
  return c.on_meta() ? Tensor::empty(shape, DType::i32, c.device()) : Tensor::from(values, shape, c.device());
}

Value tokens(Context& c, const Inputs& x) {
  return ops::embedding(c, whole(c, {1, 4, 1, 0, 1, 4}, {2, 3}), {.table = x[0]});
}
Value tokens_with_positions(Context& c, const Inputs& x) {
  return ops::embedding(c, whole(c, {1, 4, 1, 0, 1, 4}, {2, 3}), {x[0], x[1]}, {.first_position = 1});
}
Value tokens_at(Context& c, const Inputs& x) {
  return ops::embedding(c, whole(c, {1, 4, 1, 0}, {2, 2}), {x[0], x[1]},
                        {.position_of = whole(c, {2, 0, 0, 2}, {2, 2})});
}
const GradientCases embeddings({
    {.op = "embedding", .variant = "", .shapes = {{5, 7}}, .function = tokens},
    {.op = "embedding", .variant = "positions", .shapes = {{5, 300}, {4, 300}}, .function = tokens_with_positions},
    {.op = "embedding", .variant = "given_positions", .shapes = {{5, 6}, {3, 6}}, .function = tokens_at},
});

/// Sum and norm as one value, so that both outputs have a gradient.
Value both_results(Context& c, const ops::SumNorm& out) { return ops::concat(c, Inputs{out.sum, out.normed}, 0); }
Value rms(Context& c, const Inputs& x) { return ops::rms_norm(c, x[0], x[1]); }
Value sum_rms(Context& c, const Inputs& x) { return both_results(c, ops::add_rms_norm(c, {x[0], x[1]}, x[2])); }
Value norm_of_sum_rms(Context& c, const Inputs& x) { return ops::add_rms_norm(c, {x[0], x[1]}, x[2]).normed; }
Value sum_layer(Context& c, const Inputs& x) {
  return both_results(c, ops::add_layer_norm(c, {x[0], x[1]}, {x[2], x[3]}));
}
Value norm_of_sum_layer(Context& c, const Inputs& x) {
  return ops::add_layer_norm(c, {x[0], x[1]}, {x[2], x[3]}).normed;
}
/// Two blocks: the gradient of the first sum is shared, then changed.
Value two_blocks(Context& c, const Inputs& x) {
  const ops::SumNorm one = ops::add_layer_norm(c, {x[0], x[1]}, {x[2], x[3]});
  return both_results(c, ops::add_layer_norm(c, {one.normed, one.sum}, {x[2], x[3]}));
}
const GradientCases norm_cases({
    {.op = "rms_norm", .variant = "", .shapes = {{4, 8}, {8}}, .function = rms},
    {.op = "rms_norm", .variant = "odd", .shapes = {{2, 3, 21}, {21}}, .function = rms},
    {.op = "add_rms_norm", .variant = "", .shapes = {{3, 21}, {3, 21}, {21}}, .function = sum_rms},
    {.op = "add_rms_norm", .variant = "unused_sum", .shapes = {{3, 8}, {3, 8}, {8}}, .function = norm_of_sum_rms},
    {.op = "add_layer_norm", .variant = "", .shapes = {{3, 21}, {3, 21}, {21}, {21}}, .function = sum_layer},
    {.op = "add_layer_norm",
     .variant = "unused_sum",
     .shapes = {{3, 8}, {3, 8}, {8}, {8}},
     .function = norm_of_sum_layer},
    {.op = "add_layer_norm", .variant = "blocks", .shapes = {{3, 8}, {3, 8}, {8}, {8}}, .function = two_blocks},
});

Value gated(Context& c, const Inputs& x) { return ops::gated_silu(c, x[0]); }
const GradientCases gates({
    {.op = "gated_silu", .variant = "", .shapes = {{3, 16}}, .function = gated},
    {.op = "gated_silu", .variant = "odd", .shapes = {{2, 2, 42}}, .function = gated},
});

Value turned(Context& c, const Inputs& x) {
  return ops::rotary(c, x[0], {.heads = 2, .kv_heads = 1, .head_size = 6, .base = 100, .first_position = 3});
}
Value turned_at(Context& c, const Inputs& x) {
  return ops::rotary(
      c, x[0],
      {.heads = 1, .kv_heads = 1, .head_size = 32, .position_of = whole(c, {4, 0, 1, 1}, {2, 2}), .positions = 5});
}
const GradientCases turns({
    {.op = "rotary", .variant = "", .shapes = {{2, 3, 24}}, .function = turned},
    {.op = "rotary", .variant = "given_positions", .shapes = {{2, 2, 96}}, .function = turned_at},
});

GradientCase attended(const std::string& variant, const Shape& shape, const ops::AttentionOptions& options) {
  return {.op = "attention", .variant = variant, .shapes = {shape}, .function = [options](Context& c, const Inputs& x) {
            ops::AttentionOptions here = options;
            if (here.window == 2) here.document_start = whole(c, {0, 0, 0, 3, 3, 0, 1, 1, 1, 1}, {2, 5});
            return ops::attention(c, x[0], here);
          }};
}
const GradientCases attentions({
    attended("", {2, 5, 24}, {.heads = 2, .kv_heads = 2, .head_size = 4}),
    attended("grouped", {1, 4, 24}, {.heads = 4, .kv_heads = 1, .head_size = 4, .scale = 0.3}),
    attended("window", {1, 9, 15}, {.heads = 1, .kv_heads = 1, .head_size = 5, .window = 3}),
    attended("documents", {2, 5, 12}, {.heads = 2, .kv_heads = 2, .head_size = 2, .window = 2}),
    attended("all", {2, 3, 33},
             {.heads = 1, .kv_heads = 1, .head_size = 11, .mask = ops::AttentionOptions::Mask::none}),
});

GradientCase head_loss(const std::string& variant, const ops::LinearCrossEntropyOptions& options) {
  return {.op = "linear_cross_entropy",
          .variant = variant,
          .shapes = {{5, 6}, {11, 6}},
          .function = [options](Context& c, const Inputs& x) {
            ops::LinearCrossEntropyOptions here = options;
            if (here.loss.weights) here.loss.weights = here.loss.weights.clone(c.device());
            return ops::linear_cross_entropy(c, {x[0], x[1]}, whole(c, {3, 10, 0, 7, 10}, {5}), here).loss;
          }};
}
const GradientCases heads({
    head_loss("", {}),
    head_loss("chunks", {.loss = {.smoothing = 0.1}, .chunk_bytes = 2 * 11 * 8}),
    head_loss("rows",
              {.loss = {.ignore = 10, .weights = Tensor::from<float>({1, 0, 0.5, 2, 1}, {5})}, .chunk_bytes = 1}),
});

}  // namespace
}  // namespace trireme
