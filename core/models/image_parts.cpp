#include "core/models/image_parts.hpp"

#include "core/ops/elementwise.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {

ConvNorm::ConvNorm(std::int64_t outputs, const ConvNormOptions& options)
    : conv_(outputs,
            {.kernel = options.kernel,
             .stride = options.stride,
             .padding = options.kernel / 2,
             .groups = options.groups,
             .bias = Bias::no,
             .weight = Initializer::kaiming_normal(options.kernel * options.kernel * outputs / options.groups)}),
      norm_({.activation = options.activation}) {}

Value ConvNorm::forward(Context& context, const Value& x) { return norm_.forward(context, conv_.forward(context, x)); }

void ConvNorm::parts(Visitor& visit) {
  visit("conv", conv_);
  visit("norm", norm_);
}

Value Branches::forward(Context& context, const Value& x) {
  std::vector<Value> results;
  for (const auto& layer : layers_) results.push_back(layer->forward(context, x));
  return ops::concat(context, results, -1);
}

void Branches::parts(Visitor& visit) {
  for (std::size_t k = 0; k < layers_.size(); ++k) visit(std::to_string(k), *layers_[k]);
}

Value ResidualSum::forward(Context& context, const Value& x) {
  const Value body = body_.forward(context, x);
  const Value sum = ops::add(context, body, shortcut_ ? shortcut_->forward(context, x) : x);
  return ops::activate(context, sum, activation_);
}

void ResidualSum::parts(Visitor& visit) {
  visit("body", body_);
  if (shortcut_) visit("shortcut", *shortcut_);
}

}  // namespace trireme
