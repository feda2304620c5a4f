#include "core/nn/layers.hpp"

#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {
namespace {

Value no_value() { return {}; }

}  // namespace

Linear::Linear(std::int64_t outputs, const LinearOptions& options) : outputs_(outputs), options_(options) {
  require(outputs > 0, "Linear({}): the number of outputs must be positive", outputs);
}

Value Linear::forward(Context& context, const Value& x) {
  if (!weight_) {
    require_planning(context, "Linear");
    const std::int64_t inputs = x.shape()[-1];
    weight_.emplace(Shape{outputs_, inputs}, options_.weight.value_or(Initializer::kaiming_uniform(inputs)));
    if (options_.bias == Bias::yes) bias_.emplace(Shape{outputs_}, Initializer::zeros(), Decay::no);
  }
  return ops::linear(context, x, {.weight = context.use(*weight_), .bias = bias_ ? context.use(*bias_) : no_value()},
                     options_.activation);
}

void Linear::parts(Visitor& visit) {
  if (weight_) visit("weight", *weight_);
  if (bias_) visit("bias", *bias_);
}

Conv2d::Conv2d(std::int64_t outputs, const Conv2dLayerOptions& options) : outputs_(outputs), options_(options) {
  require(outputs > 0 && options.groups > 0 && outputs % options.groups == 0,
          "Conv2d({}): the outputs must be a positive multiple of the {} groups", outputs, options.groups);
}

Value Conv2d::forward(Context& context, const Value& x) {
  if (!weight_) {
    require_planning(context, "Conv2d");
    const std::int64_t inputs = x.shape()[-1], k = options_.kernel;
    require(inputs % options_.groups == 0, "Conv2d of {} channels in {} groups: the groups must divide the channels",
            inputs, options_.groups);
    const std::int64_t each = inputs / options_.groups;
    weight_.emplace(Shape{outputs_, k, k, each}, options_.weight.value_or(Initializer::kaiming_uniform(k * k * each)));
    if (options_.bias == Bias::yes) bias_.emplace(Shape{outputs_}, Initializer::zeros(), Decay::no);
  }
  return ops::conv2d(context, x, {.filter = context.use(*weight_), .bias = bias_ ? context.use(*bias_) : no_value()},
                     {.stride = {options_.stride, options_.stride},
                      .padding = {options_.padding, options_.padding},
                      .dilation = {options_.dilation, options_.dilation},
                      .groups = options_.groups,
                      .activation = options_.activation});
}

void Conv2d::parts(Visitor& visit) {
  if (weight_) visit("weight", *weight_);
  if (bias_) visit("bias", *bias_);
}

namespace {

ops::Pool2dOptions pool_options(std::int64_t window, const PoolLayerOptions& options) {
  const std::int64_t step = options.stride > 0 ? options.stride : window;
  return {.window = {window, window},
          .stride = {step, step},
          .padding = {options.padding, options.padding},
          .activation = options.activation};
}

}  // namespace

MaxPool2d::MaxPool2d(std::int64_t window, const PoolLayerOptions& options) : options_(pool_options(window, options)) {}
Value MaxPool2d::forward(Context& context, const Value& x) { return ops::max_pool2d(context, x, options_); }

AveragePool2d::AveragePool2d(std::int64_t window, const PoolLayerOptions& options)
    : options_(pool_options(window, options)) {}
Value AveragePool2d::forward(Context& context, const Value& x) { return ops::average_pool2d(context, x, options_); }

Value GlobalAveragePool::forward(Context& context, const Value& x) { return ops::global_average_pool(context, x); }

Value BatchNorm::forward(Context& context, const Value& x) {
  if (!gain_) {
    require_planning(context, "BatchNorm");
    const Shape shape{x.shape()[-1]};
    gain_.emplace(shape, Initializer::ones(), Decay::no);
    bias_.emplace(shape, Initializer::zeros(), Decay::no);
    mean_.emplace(shape, 0.0);
    variance_.emplace(shape, 1.0);
    mean_->bind(Tensor::empty(shape, accum_dtype(x.dtype()), Device::meta()));
    variance_->bind(Tensor::empty(shape, accum_dtype(x.dtype()), Device::meta()));
  }
  return ops::batch_norm(context, x,
                         {.gain = context.use(*gain_),
                          .bias = context.use(*bias_),
                          .running = {.mean = mean_->value(), .variance = variance_->value()}},
                         options_);
}

void BatchNorm::parts(Visitor& visit) {
  if (!gain_) return;
  visit("gain", *gain_);
  visit("bias", *bias_);
  visit("running_mean", *mean_);
  visit("running_variance", *variance_);
}

Value LayerNorm::forward(Context& context, const Value& x) {
  if (!gain_) {
    require_planning(context, "LayerNorm");
    const Shape shape{x.shape()[-1]};
    gain_.emplace(shape, Initializer::ones(), Decay::no);
    bias_.emplace(shape, Initializer::zeros(), Decay::no);
  }
  return ops::layer_norm(context, x, {.gain = context.use(*gain_), .bias = context.use(*bias_)}, epsilon_);
}

void LayerNorm::parts(Visitor& visit) {
  if (!gain_) return;
  visit("gain", *gain_);
  visit("bias", *bias_);
}

Value Relu::forward(Context& context, const Value& x) { return ops::relu(context, x); }
Value Gelu::forward(Context& context, const Value& x) { return ops::gelu(context, x); }
Value Tanh::forward(Context& context, const Value& x) { return ops::tanh(context, x); }
Value Sigmoid::forward(Context& context, const Value& x) { return ops::sigmoid(context, x); }

Dropout::Dropout(double probability) : probability_(probability) {
  require(probability >= 0 && probability < 1, "Dropout({}): the probability must be in [0, 1)", probability);
}
Value Dropout::forward(Context& context, const Value& x) {
  return ops::dropout(context, x, {.probability = probability_});
}

Value Flatten::forward(Context& context, const Value& x) {
  return ops::reshape(context, x, {x.shape()[0], x.shape().elements_from(1)});
}

Value Residual::forward(Context& context, const Value& x) { return ops::add(context, x, inner_->forward(context, x)); }
void Residual::parts(Visitor& visit) { visit("inner", *inner_); }

}  // namespace trireme
