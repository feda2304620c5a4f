#include "core/ops/conv2d_onednn.hpp"

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/onednn.hpp"

namespace trireme::ops::onednn {
namespace {

using dnnl::memory;
using kernels::ConvExtents;

enum Kind : std::int64_t { forward_kind = 2, data_kind, filter_kind, to_preferred_kind, from_preferred_kind };
/// Which of a parameter's preferred forms holds what.
constexpr int forward_form = 0, data_form = 1;

/// The extents and up to two more numbers.
Key conv_key(Kind kind, const ConvExtents& e, std::pair<std::int64_t, std::int64_t> more = {}) {
  return key_of({kind, e.batch, e.height, e.width, e.channels, e.out_height, e.out_width, e.outputs, e.filter_height,
                 e.filter_width, e.stride_h, e.stride_w, e.padding_h, e.padding_w, e.groups, e.dilation_h, e.dilation_w,
                 more.first, more.second});
}

constexpr auto f32 = memory::data_type::f32;
constexpr auto channels_last = memory::format_tag::nhwc;

/// The library names the dims of images (batch, channels, height, width), those of filters (groups, outputs, channels,
/// height, width).
struct Forms {
  memory::desc x, y, bias, filter, free_filter;
  memory::dims strides, dilation, padding;  // a dilation of 1 is 0 to the library
};
Forms forms_of(const ConvExtents& e) {
  const std::int64_t channels = e.group_channels(), outputs = e.group_outputs();
  memory::dims dims{e.groups, outputs, channels, e.filter_height, e.filter_width};
  const std::int64_t row = e.filter_width * channels, each = e.filter_height * row;
  memory::dims steps{outputs * each, each, 1, row, channels};
  if (e.groups == 1) {  // a form without groups gets better code
    dims.erase(dims.begin());
    steps.erase(steps.begin());
  }
  return {.x = memory::desc({e.batch, e.channels, e.height, e.width}, f32, channels_last),
          .y = memory::desc({e.batch, e.outputs, e.out_height, e.out_width}, f32, channels_last),
          .bias = row_major({e.outputs}),
          .filter = memory::desc(dims, f32, steps),
          .free_filter = memory::desc(dims, f32, memory::format_tag::any),
          .strides = {e.stride_h, e.stride_w},
          .dilation = {e.dilation_h - 1, e.dilation_w - 1},
          .padding = {e.padding_h, e.padding_w}};
}

constexpr auto direct = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc forward_desc(const Forms& f, Product::Finish finish,
                                                       const memory::desc& bias) {
  dnnl::primitive_attr attributes_of_call = attributes();
  if (finish == Product::Finish::relu) {
    dnnl::post_ops after;
    after.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    attributes_of_call.set_post_ops(after);
  }
  return {{dnnl::prop_kind::forward_training, direct, f.x, f.free_filter, bias, f.y, f.strides, f.dilation, f.padding,
           f.padding},
          attributes_of_call,
          engine()};
}

Plan make_forward(const ConvExtents& e, Product::Finish finish, bool has_bias) {
  const Forms f = forms_of(e);
  const auto made = forward_desc(f, finish, has_bias ? f.bias : memory::desc());
  return {dnnl::convolution_forward(made), made.weights_desc(), made.scratchpad_desc()};
}

Plan make_data_gradient(const ConvExtents& e) {
  const Forms f = forms_of(e);
  const dnnl::convolution_backward_data::primitive_desc made(
      {direct, f.x, f.free_filter, f.y, f.strides, f.dilation, f.padding, f.padding}, attributes(), engine(),
      forward_desc(f, Product::Finish::none, memory::desc()));
  return {dnnl::convolution_backward_data(made), made.weights_desc(), made.scratchpad_desc()};
}

Plan make_filter_gradient(const ConvExtents& e, bool has_bias) {
  const Forms f = forms_of(e);
  const memory::desc bias = has_bias ? f.bias : memory::desc();
  const dnnl::convolution_backward_weights::primitive_desc made(
      {direct, f.x, f.free_filter, bias, f.y, f.strides, f.dilation, f.padding, f.padding}, attributes(), engine(),
      forward_desc(f, Product::Finish::none, bias));
  return {dnnl::convolution_backward_weights(made), made.diff_weights_desc(), made.scratchpad_desc()};
}

/// A filter in the form a plan wants, and what keeps its memory.
struct Reordered {
  memory::desc desc;
  std::shared_ptr<Buffer> buffer;
};

/// Which plan wants the filter, so that the reorder into its form is found by the same numbers.
struct Wanted {
  const ConvExtents& extents;
  const memory::desc& desc;
  int form;            ///< forward_form or data_form.
  std::int64_t flags;  ///< What else the plan depends on.
};

/// Into the memory of `old`, where that is of the form and nobody else's: fresh memory costs more than the copy.
std::shared_ptr<Reordered> reorder_filter(Context& context, const Wanted& wanted, const Tensor& filter,
                                          std::shared_ptr<Reordered> old = nullptr) {
  const memory::desc plain = forms_of(wanted.extents).filter;
  const auto plan = plan_for(conv_key(to_preferred_kind, wanted.extents, {wanted.form, wanted.flags}),
                             [&] { return reorder_plan(plain, wanted.desc, Write::overwrite); });
  const auto out = old && old.use_count() == 1 && old->desc == wanted.desc
                       ? std::move(old)
                       : std::make_shared<Reordered>(
                             Reordered{wanted.desc, system_allocator(Device::cpu()).allocate(wanted.desc.get_size())});
  run(context, "reorder", *plan,
      {{DNNL_ARG_FROM, view(plain, filter)}, {DNNL_ARG_TO, view(out->desc, out->buffer->data())}});
  return out;
}

/// The filter in the wanted form: of a parameter a copy that is kept with it until its values change.
std::shared_ptr<Reordered> preferred_filter(Context& context, const Wanted& wanted, const Value& filter) {
  const Tensor& values = filter.tensor();
  if (!filter.parameter()) return reorder_filter(context, wanted, values);
  Parameter::PreferredForm& kept = filter.parameter()->preferred_form(wanted.form);
  auto form = std::static_pointer_cast<Reordered>(kept.data);
  if (!form || kept.version != values.version() || form->desc != wanted.desc) {
    kept.data.reset();
    form = reorder_filter(context, wanted, values, std::move(form));
    kept = {values.version(), form};
  }
  return form;
}

/// A place for a gradient that the library can only write, not add to, or only in its own form.
Tensor own_memory(Context& context, const memory::desc& desc) {
  return context.empty({static_cast<std::int64_t>(desc.get_size() / sizeof(float))}, DType::f32);
}

void add(Context& context, const Tensor& from, const Destination& to) {
  launch_elements(context.stream(), to.tensor.elements(),
                  kernels::AddScaled<float>{from.data<float>(), to.tensor.data<float>(), 1.0f, to.beta()});
}

}  // namespace

void conv_forward(Context& context, const ConvForwardCall& call) {
  const bool bias = static_cast<bool>(call.bias);
  const std::int64_t flags = (bias ? 1 : 0) + (call.finish == Product::Finish::relu ? 2 : 0);
  guarded("conv2d", [&] {
    const auto plan = plan_for(conv_key(forward_kind, call.extents, {flags, 0}),
                               [&] { return make_forward(call.extents, call.finish, bias); });
    const auto filter = preferred_filter(context, {call.extents, plan->weights, forward_form, flags}, call.filter);
    const Forms forms = forms_of(call.extents);
    Arguments arguments{{DNNL_ARG_SRC, view(forms.x, call.x)},
                        {DNNL_ARG_WEIGHTS, view(filter->desc, filter->buffer->data())},
                        {DNNL_ARG_DST, view(forms.y, call.y)}};
    if (bias) arguments.insert({DNNL_ARG_BIAS, view(forms.bias, call.bias)});
    run(context, "conv2d", *plan, std::move(arguments));
  });
}

void conv_data_gradient(Context& context, const ConvDataGradientCall& call) {
  guarded("conv2d_data_gradient", [&] {
    const auto plan = plan_for(conv_key(data_kind, call.extents), [&] { return make_data_gradient(call.extents); });
    const auto filter = preferred_filter(context, {call.extents, plan->weights, data_form, 0}, call.filter);
    const Forms forms = forms_of(call.extents);
    const bool adds = call.dx.mode == Write::accumulate;
    const Tensor dx = adds ? own_memory(context, forms.x) : call.dx.tensor;
    run(context, "conv2d_data_gradient", *plan,
        {{DNNL_ARG_DIFF_DST, view(forms.y, call.dy)},
         {DNNL_ARG_WEIGHTS, view(filter->desc, filter->buffer->data())},
         {DNNL_ARG_DIFF_SRC, view(forms.x, dx)}});
    if (adds) add(context, dx, call.dx);
  });
}

void conv_filter_gradient(Context& context, const ConvFilterGradientCall& call) {
  const bool bias = static_cast<bool>(call.dbias.tensor);
  guarded("conv2d_filter_gradient", [&] {
    const auto plan = plan_for(conv_key(filter_kind, call.extents, {bias ? 1 : 0, 0}),
                               [&] { return make_filter_gradient(call.extents, bias); });
    const Forms forms = forms_of(call.extents);
    const bool at_once = plan->weights == forms.filter && call.dfilter.mode == Write::overwrite;
    const bool bias_at_once = bias && call.dbias.mode == Write::overwrite;
    const Tensor dfilter = at_once ? call.dfilter.tensor : own_memory(context, plan->weights);
    Arguments arguments{{DNNL_ARG_SRC, view(forms.x, call.x)},
                        {DNNL_ARG_DIFF_DST, view(forms.y, call.dy)},
                        {DNNL_ARG_DIFF_WEIGHTS, view(plan->weights, dfilter)}};
    const Tensor dbias = bias_at_once || !bias ? call.dbias.tensor : own_memory(context, forms.bias);
    if (bias) arguments.insert({DNNL_ARG_DIFF_BIAS, view(forms.bias, dbias)});
    run(context, "conv2d_filter_gradient", *plan, std::move(arguments));
    if (bias && !bias_at_once) add(context, dbias, call.dbias);
    if (at_once) return;
    const auto key = conv_key(from_preferred_kind, call.extents, {bias ? 1 : 0, static_cast<int>(call.dfilter.mode)});
    const auto back = plan_for(key, [&] { return reorder_plan(plan->weights, forms.filter, call.dfilter.mode); });
    run(context, "reorder", *back,
        {{DNNL_ARG_FROM, view(plan->weights, dfilter)}, {DNNL_ARG_TO, view(forms.filter, call.dfilter.tensor)}});
  });
}

}  // namespace trireme::ops::onednn
