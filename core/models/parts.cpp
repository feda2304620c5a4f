#include "core/models/parts.hpp"

#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/tape/recompute.hpp"

namespace trireme {

Projection::Projection(const Extents& extents, const ProjectionOptions& options)
    : form_(options.form),
      weight_(form_ == ops::WeightForm::inputs_outputs ? Shape{extents.inputs, extents.outputs}
                                                       : Shape{extents.outputs, extents.inputs},
              Initializer::normal(options.deviation)) {
  if (options.bias == Bias::yes) bias_.emplace(Shape{extents.outputs}, Initializer::zeros(), Decay::no);
}

Value Projection::apply(Context& context, const Value& x, ops::Activation activation) {
  ops::LinearParameters parameters{.weight = context.use(weight_), .form = form_};
  if (bias_) parameters.bias = context.use(*bias_);
  return ops::linear(context, x, parameters, activation);
}

void Projection::parts(Visitor& visit) {
  visit("weight", weight_);
  if (bias_) visit("bias", *bias_);
}

Norm::Norm(Kind kind, std::int64_t width, double epsilon)
    : kind_(kind), epsilon_(epsilon), weight_(Shape{width}, Initializer::ones(), Decay::no) {
  if (kind == Kind::layer) bias_.emplace(Shape{width}, Initializer::zeros(), Decay::no);
}

Value Norm::forward(Context& context, const Value& x) {
  const Value gain = context.use(weight_);
  if (kind_ == Kind::rms) return ops::rms_norm(context, x, gain, epsilon_);
  return ops::layer_norm(context, x, {.gain = gain, .bias = context.use(*bias_)}, epsilon_);
}

ops::SumNorm Norm::add(Context& context, const Value& x, const Value& residual) {
  const Value gain = context.use(weight_);
  if (kind_ == Kind::rms) return ops::add_rms_norm(context, {x, residual}, gain, epsilon_);
  return ops::add_layer_norm(context, {x, residual}, {.gain = gain, .bias = context.use(*bias_)}, epsilon_);
}

void Norm::parts(Visitor& visit) {
  visit("weight", weight_);
  if (bias_) visit("bias", *bias_);
}

DecoderBlock::DecoderBlock(const BlockOptions& options)
    : first_norm_(options.norm, options.width, options.epsilon),
      second_norm_(options.norm, options.width, options.epsilon),
      options_(options) {}

Value DecoderBlock::attend(Context& context, const Value& qkv, const BlockPass& pass) const {
  ops::AttentionOptions options = options_.attention;
  if (pass.decoding)
    return ops::attend_cached(context, qkv.tensor(), pass.decoding->layers.at(options_.layer), options);
  options.document_start = pass.input.document_start;
  return ops::attention(context, qkv, options);
}

namespace {

std::vector<Parameter*> parameters_in(const std::vector<Module*>& modules) {
  std::vector<Parameter*> out;
  for (Module* module : modules)
    for (const NamedParameter& named : parameters_of(*module)) out.push_back(named.parameter);
  return out;
}

}  // namespace

DecoderBlock::Stream DecoderBlock::all(Context& context, const Stream& x, const BlockPass& pass) {
  ops::SumNorm first = x.branch.tensor() ? first_norm_.add(context, x.sum, x.branch)
                                         : ops::SumNorm{x.sum, first_norm_.forward(context, x.sum)};
  Value branch;
  if (options_.recompute == Recompute::attention && !pass.decoding) {
    const auto again = [this, input = pass.input](Context& c, std::span<const Value> in) {
      return std::vector<Value>{attention(c, in[0], {.input = input})};
    };
    branch = recompute(context, {"attention again", {&first.normed, 1}, parameters_in(attention_parts())}, again)[0];
  } else {
    branch = attention(context, first.normed, pass);
  }
  first.normed = {};
  const ops::DropoutOptions dropout{.probability = options_.dropout};
  const ops::SumNorm second = second_norm_.add(context, first.sum, ops::dropout(context, branch, dropout));
  branch = {};
  return {second.sum, ops::dropout(context, mlp(context, second.normed), dropout)};
}

DecoderBlock::Stream DecoderBlock::apply(Context& context, const Stream& x, const BlockPass& pass) {
  if (options_.recompute != Recompute::block || pass.decoding) return all(context, x, pass);
  std::vector<Value> inputs{x.sum};
  if (x.branch.tensor()) inputs.push_back(x.branch);
  const auto again = [this, input = pass.input](Context& c, std::span<const Value> in) {
    const Stream out = all(c, {in[0], in.size() > 1 ? in[1] : Value()}, {.input = input});
    return std::vector<Value>{out.sum, out.branch};
  };
  const auto out = recompute(context, {"block again", inputs, parameters_in({this})}, again);
  return {out[0], out[1]};
}

Value DecoderBlock::forward(Context& context, const Value& x) {
  const TokenInput plain;
  const Stream out = apply(context, {x, {}}, {.input = plain});
  return ops::add(context, out.sum, out.branch);
}

}  // namespace trireme
