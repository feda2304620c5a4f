#include "core/nn/image_layers.hpp"

namespace trireme {
namespace {

void make_gain_bias(Context& context, std::optional<Parameter>& gain, std::optional<Parameter>& bias,
                    const std::pair<const char*, std::int64_t>& layer_channels) {
  if (gain) return;
  require_planning(context, layer_channels.first);
  gain.emplace(Shape{layer_channels.second}, Initializer::ones(), Decay::no);
  bias.emplace(Shape{layer_channels.second}, Initializer::zeros(), Decay::no);
}

}  // namespace

ConvTranspose2d::ConvTranspose2d(std::int64_t outputs, const ConvTranspose2dLayerOptions& options)
    : outputs_(outputs), options_(options) {
  require(outputs > 0 && options.groups > 0 && outputs % options.groups == 0,
          "ConvTranspose2d({}): the outputs must be a positive multiple of the {} groups", outputs, options.groups);
}

Value ConvTranspose2d::forward(Context& context, const Value& x) {
  const ConvTranspose2dLayerOptions& o = options_;
  if (!weight_) {
    require_planning(context, "ConvTranspose2d");
    const std::int64_t inputs = x.shape()[-1], k = o.kernel;
    // What an output is summed from: with stride s about one of s taps a dim meets an input.
    const std::int64_t fan_in = std::max<std::int64_t>(1, inputs / o.groups * k * k / (o.stride * o.stride));
    weight_.emplace(Shape{inputs, k, k, outputs_ / o.groups}, o.weight.value_or(Initializer::kaiming_uniform(fan_in)));
    if (o.bias == Bias::yes) bias_.emplace(Shape{outputs_}, Initializer::zeros(), Decay::no);
  }
  return ops::conv_transpose2d(context, x,
                               {.filter = context.use(*weight_), .bias = bias_ ? context.use(*bias_) : Value()},
                               {.conv = {.stride = {o.stride, o.stride},
                                         .padding = {o.padding, o.padding},
                                         .dilation = {o.dilation, o.dilation},
                                         .groups = o.groups,
                                         .activation = o.activation},
                                .output_padding = {o.output_padding, o.output_padding}});
}

void ConvTranspose2d::parts(Visitor& visit) {
  if (weight_) visit("weight", *weight_);
  if (bias_) visit("bias", *bias_);
}

GroupNorm::GroupNorm(std::int64_t groups, double epsilon) : options_{.groups = groups, .epsilon = epsilon} {
  require(groups > 0, "GroupNorm({}): the number of groups must be positive", groups);
}

Value GroupNorm::forward(Context& context, const Value& x) {
  make_gain_bias(context, gain_, bias_, {"GroupNorm", x.shape()[-1]});
  return ops::group_norm(context, x, {.gain = context.use(*gain_), .bias = context.use(*bias_)}, options_);
}

void GroupNorm::parts(Visitor& visit) {
  if (!gain_) return;
  visit("gain", *gain_);
  visit("bias", *bias_);
}

Value InstanceNorm::forward(Context& context, const Value& x) {
  if (affine_ == Affine::no) return ops::instance_norm(context, x, {}, epsilon_);
  make_gain_bias(context, gain_, bias_, {"InstanceNorm", x.shape()[-1]});
  return ops::instance_norm(context, x, {.gain = context.use(*gain_), .bias = context.use(*bias_)}, epsilon_);
}

void InstanceNorm::parts(Visitor& visit) {
  if (!gain_) return;
  visit("gain", *gain_);
  visit("bias", *bias_);
}

Upsample::Upsample(std::int64_t factor, ops::Interpolation mode) : factor_(factor), mode_(mode) {
  require(factor > 0, "Upsample({}): the factor must be positive", factor);
}

Value Upsample::forward(Context& context, const Value& x) {
  return ops::interpolate(context, x,
                          {.height = x.shape()[1] * factor_, .width = x.shape()[2] * factor_, .mode = mode_});
}

}  // namespace trireme
