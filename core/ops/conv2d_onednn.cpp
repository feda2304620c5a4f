#include "core/ops/conv2d_onednn.hpp"

#include <optional>
#include <string_view>

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/onednn.hpp"

namespace trireme::ops::onednn {
namespace {

using dnnl::memory;
using kernels::ConvExtents;

/// Which of a parameter's preferred forms holds what.
constexpr int forward_form = 0, data_form = 1;

/// The extents and up to two more numbers.
Key conv_key(PlanKind kind, const ConvExtents& e, std::pair<std::int64_t, std::int64_t> more = {}) {
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
  dnnl::algorithm algorithm = dnnl::algorithm::convolution_direct;
  bool plain = true;  // images as they are given, any code will do
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

/// A processor's vector of floats, the block of the library's own form of images (nChw16c).
constexpr std::int64_t block = 16;

/// Whether Winograd's minimal filtering F(4x4, 3x3) is worth it (Lavin, Gray 2015, arXiv:1509.09308): 36
/// multiplications instead of 144 for a tile of 4 x 4 outputs, but tiles and filters are transformed, and tiles at an
/// edge are whole. Only for gradients: it rounds three times as coarsely, and what lies near 0 before a ReLU would fall
/// to the other side more often, which losses show some steps later.
bool suits_winograd(PlanKind kind, const ConvExtents& e) {
  const bool form = e.filter_height == 3 && e.filter_width == 3 && e.stride_h == 1 && e.stride_w == 1 &&
                    e.dilation_h == 1 && e.dilation_w == 1 && e.groups == 1 && e.padding_h <= 1 && e.padding_w <= 1;
  constexpr std::int64_t tile = 4, fewest_tiles = 64, least_width = 3 * block;
  const std::int64_t tiles = (e.out_height + tile - 1) / tile * ((e.out_width + tile - 1) / tile);
  const bool filled = 2 * e.out_height * e.out_width >= tiles * tile * tile;
  return (kind == data_kind || kind == filter_kind) && form && filled && e.batch * tiles >= fewest_tiles &&
         e.channels % block == 0 && e.outputs % block == 0 && std::min(e.channels, e.outputs) >= least_width;
}

/// Whether the library's own form of images is worth two copies: rows of few outputs under filters that outgrow a
/// core's cache, where its code for channels-last images reads the filters anew for every image.
bool suits_blocks(PlanKind kind, const ConvExtents& e) {
  constexpr std::int64_t large_filter = std::int64_t{1} << 20, short_row = 4;
  const bool faster = kind == forward_kind || (kind != filter_kind && e.stride_h * e.stride_w == 1 && e.out_width > 2);
  return faster && e.groups == 1 && e.out_width <= short_row && e.channels % block == 0 && e.outputs % block == 0 &&
         e.taps() > 1 && e.taps() * e.channels * e.outputs >= large_filter;
}

/// Says, as the library does, that there is no such code: where a form was asked for, its plain loops are none.
void refuse_loops(const Forms& f, const dnnl::primitive_desc& made) {
  if (!f.plain && std::string_view(made.impl_info_str()).starts_with("ref"))
    throw dnnl::error(dnnl_unimplemented, "only the reference");
}

/// make(forms), or nothing where the library has no such code for this processor.
template <class Make>
std::optional<Plan> plan_if_any(const Forms& forms, Make&& make) {
  try {
    return make(forms);
  } catch (const dnnl::error& error) {
    if (error.status != dnnl_unimplemented) throw;
    return std::nullopt;
  }
}

/// A plan with the algorithm and the form of images that suit. The choice depends on extents, threads and the kind of
/// processor, never on a timing: a run that is started again there computes the same bits.
template <class Make>
Plan plan_of(PlanKind kind, const ConvExtents& e, Make&& make) {
  const Forms plain = forms_of(e);
  const auto with_images = [&](dnnl::algorithm algorithm, memory::format_tag form) {
    Forms forms = plain;
    forms.plain = false;
    forms.algorithm = algorithm;
    for (memory::desc* images : {&forms.x, &forms.y}) *images = memory::desc(images->dims(), f32, form);
    return plan_if_any(forms, make);
  };
  if (suits_winograd(kind, e)) {
    constexpr std::size_t most_scratch = std::size_t{160} << 20;  // transformed filters of every thread can be large
    auto plan = with_images(dnnl::algorithm::convolution_winograd, memory::format_tag::any);
    if (plan && plan->scratchpad.get_size() <= most_scratch) return *plan;
  }
  if (suits_blocks(kind, e))
    if (auto plan = with_images(plain.algorithm, memory::format_tag::nChw16c)) return *plan;
  return make(plain);
}

dnnl::convolution_forward::primitive_desc forward_desc(const Forms& f, Product::Finish finish,
                                                       const memory::desc& bias) {
  dnnl::primitive_attr attributes_of_call = attributes();
  if (finish == Product::Finish::relu) {
    dnnl::post_ops after;
    after.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    attributes_of_call.set_post_ops(after);
  }
  return {{dnnl::prop_kind::forward_training, f.algorithm, f.x, f.free_filter, bias, f.y, f.strides, f.dilation,
           f.padding, f.padding},
          attributes_of_call,
          engine()};
}

Plan make_forward(const ConvExtents& e, Product::Finish finish, bool has_bias) {
  return plan_of(forward_kind, e, [&](const Forms& f) -> Plan {
    const auto made = forward_desc(f, finish, has_bias ? f.bias : memory::desc());
    refuse_loops(f, made);
    return {dnnl::convolution_forward(made), made.weights_desc(), made.scratchpad_desc(), made.src_desc(),
            made.dst_desc()};
  });
}

Plan make_data_gradient(PlanKind kind, const ConvExtents& e) {
  return plan_of(kind, e, [&](const Forms& f) -> Plan {
    const dnnl::convolution_backward_data::primitive_desc made(
        {f.algorithm, f.x, f.free_filter, f.y, f.strides, f.dilation, f.padding, f.padding}, attributes(), engine(),
        forward_desc(f, Product::Finish::none, memory::desc()));
    refuse_loops(f, made);
    return {dnnl::convolution_backward_data(made), made.weights_desc(), made.scratchpad_desc(), made.diff_src_desc(),
            made.diff_dst_desc()};
  });
}

Plan make_filter_gradient(const ConvExtents& e, bool has_bias) {
  return plan_of(filter_kind, e, [&](const Forms& f) -> Plan {
    const memory::desc bias = has_bias ? f.bias : memory::desc();
    const dnnl::convolution_backward_weights::primitive_desc made(
        {f.algorithm, f.x, f.free_filter, bias, f.y, f.strides, f.dilation, f.padding, f.padding}, attributes(),
        engine(), forward_desc(f, Product::Finish::none, bias));
    refuse_loops(f, made);
    return {dnnl::convolution_backward_weights(made), made.diff_weights_desc(), made.scratchpad_desc(), made.src_desc(),
            made.diff_dst_desc()};
  });
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
std::shared_ptr<Reordered> reorder_filter(const Wanted& wanted, const Tensor& filter,
                                          std::shared_ptr<Reordered> old = nullptr) {
  const memory::desc plain = forms_of(wanted.extents).filter;
  const auto plan = plan_for(conv_key(to_preferred_kind, wanted.extents, {wanted.form, wanted.flags}),
                             [&] { return reorder_plan(plain, wanted.desc, Write::overwrite); });
  const auto out = old && old.use_count() == 1 && old->desc == wanted.desc
                       ? std::move(old)
                       : std::make_shared<Reordered>(
                             Reordered{wanted.desc, system_allocator(Device::cpu()).allocate(wanted.desc.get_size())});
  run("reorder", *plan, {{DNNL_ARG_FROM, view(plain, filter)}, {DNNL_ARG_TO, view(out->desc, out->buffer->data())}});
  return out;
}

/// The filter in the wanted form: of a parameter a copy that is kept with it until its values change.
std::shared_ptr<Reordered> preferred_filter(const Wanted& wanted, const Value& filter) {
  const Tensor& values = filter.tensor();
  if (!filter.parameter()) return reorder_filter(wanted, values);
  Parameter::PreferredForm& kept = filter.parameter()->preferred_form(wanted.form);
  auto form = std::static_pointer_cast<Reordered>(kept.data);
  if (!form || kept.version != values.version() || form->desc != wanted.desc) {
    kept.data.reset();
    form = reorder_filter(wanted, values, std::move(form));
    kept = {values.version(), form};
  }
  return form;
}

/// A place for what the library can only write, not add to, or only in its own form.
Tensor own_memory(Context& context, const memory::desc& desc) {
  return context.empty({static_cast<std::int64_t>(desc.get_size() / sizeof(float))}, DType::f32);
}

void add(Context& context, const Tensor& from, const Destination& to) {
  launch_elements(context.stream(), to.tensor.elements(),
                  kernels::AddScaled<float>{from.data<float>(), to.tensor.data<float>(), 1.0f, to.beta()});
}

/// Images or outputs of a convolution, which are channels-last, for a plan that may want or make another form.
struct Images {
  memory::desc given, wanted;
  const ConvExtents& extents;
  PlanKind side, plan;     ///< Which of a plan's two: images_kind or outputs_kind.
  std::int64_t flags = 0;  ///< What else the plan depends on.

  /// Of a reorder: 0 into the wanted form, 1 out of it, 2 out of it and added.
  Key key(std::int64_t direction) const { return conv_key(side, extents, {plan, 3 * flags + direction}); }
};

/// Given images in the form that is wanted: themselves or a copy.
Tensor in_form(Context& context, const Images& images, const Tensor& given) {
  if (images.given == images.wanted) return given;
  const Tensor out = own_memory(context, images.wanted);
  const auto plan =
      plan_for(images.key(0), [&] { return reorder_plan(images.given, images.wanted, Write::overwrite); });
  run("reorder", *plan, {{DNNL_ARG_FROM, view(images.given, given)}, {DNNL_ARG_TO, view(images.wanted, out)}});
  return out;
}

/// Where a plan may write them: in place, or memory that from_form() takes to its place.
Tensor place_of(Context& context, const Images& images, const Destination& to) {
  const bool at_once = images.given == images.wanted && to.mode == Write::overwrite;
  return at_once ? to.tensor : own_memory(context, images.wanted);
}

void from_form(Context& context, const Images& images, const Tensor& made, const Destination& to) {
  if (made.raw() == to.tensor.raw()) return;
  if (images.given == images.wanted) return add(context, made, to);
  const auto plan = plan_for(images.key(to.mode == Write::accumulate ? 2 : 1),
                             [&] { return reorder_plan(images.wanted, images.given, to.mode); });
  run("reorder", *plan, {{DNNL_ARG_FROM, view(images.wanted, made)}, {DNNL_ARG_TO, view(images.given, to.tensor)}});
}

}  // namespace

void conv_forward(Context& context, const ConvForwardCall& call) {
  const bool bias = static_cast<bool>(call.bias);
  const ConvExtents& e = call.extents;
  const std::int64_t flags = (bias ? 1 : 0) + (call.finish == Product::Finish::relu ? 2 : 0);
  guarded("conv2d", [&] {
    const auto plan =
        plan_for(conv_key(forward_kind, e, {flags, 0}), [&] { return make_forward(e, call.finish, bias); });
    const auto filter = preferred_filter({e, plan->weights, forward_form, flags}, call.filter);
    const Forms forms = forms_of(e);
    const Images x{forms.x, plan->x, e, images_kind, forward_kind, flags};
    const Images y{forms.y, plan->y, e, outputs_kind, forward_kind, flags};
    const Destination to{call.y, Write::overwrite};
    const Tensor in = in_form(context, x, call.x), out = place_of(context, y, to);
    Arguments arguments{{DNNL_ARG_SRC, view(x.wanted, in)},
                        {DNNL_ARG_WEIGHTS, view(filter->desc, filter->buffer->data())},
                        {DNNL_ARG_DST, view(y.wanted, out)}};
    if (bias) arguments.insert({DNNL_ARG_BIAS, view(forms.bias, call.bias)});
    run("conv2d", *plan, std::move(arguments));
    from_form(context, y, out, to);
  });
}

void conv_data_gradient(Context& context, const ConvDataGradientCall& call) {
  const ConvExtents& e = call.extents;
  const PlanKind kind = call.is_output ? transpose_kind : data_kind;
  guarded("conv2d_data_gradient", [&] {
    const auto plan = plan_for(conv_key(kind, e), [&] { return make_data_gradient(kind, e); });
    const auto filter = preferred_filter({e, plan->weights, data_form, kind}, call.filter);
    const Forms forms = forms_of(e);
    const Images x{forms.x, plan->x, e, images_kind, kind}, y{forms.y, plan->y, e, outputs_kind, kind};
    const Tensor dy = in_form(context, y, call.dy), dx = place_of(context, x, call.dx);
    run("conv2d_data_gradient", *plan,
        {{DNNL_ARG_DIFF_DST, view(y.wanted, dy)},
         {DNNL_ARG_WEIGHTS, view(filter->desc, filter->buffer->data())},
         {DNNL_ARG_DIFF_SRC, view(x.wanted, dx)}});
    from_form(context, x, dx, call.dx);
  });
}

void conv_filter_gradient(Context& context, const ConvFilterGradientCall& call) {
  const bool bias = static_cast<bool>(call.dbias.tensor);
  const ConvExtents& e = call.extents;
  guarded("conv2d_filter_gradient", [&] {
    const auto plan =
        plan_for(conv_key(filter_kind, e, {bias ? 1 : 0, 0}), [&] { return make_filter_gradient(e, bias); });
    const Forms forms = forms_of(e);
    const Images images{forms.x, plan->x, e, images_kind, filter_kind, bias ? 1 : 0};
    const Images outputs{forms.y, plan->y, e, outputs_kind, filter_kind, bias ? 1 : 0};
    const Tensor x = in_form(context, images, call.x), dy = in_form(context, outputs, call.dy);
    const bool at_once = plan->weights == forms.filter && call.dfilter.mode == Write::overwrite;
    const bool bias_at_once = bias && call.dbias.mode == Write::overwrite;
    const Tensor dfilter = at_once ? call.dfilter.tensor : own_memory(context, plan->weights);
    Arguments arguments{{DNNL_ARG_SRC, view(images.wanted, x)},
                        {DNNL_ARG_DIFF_DST, view(outputs.wanted, dy)},
                        {DNNL_ARG_DIFF_WEIGHTS, view(plan->weights, dfilter)}};
    const Tensor dbias = bias_at_once || !bias ? call.dbias.tensor : own_memory(context, forms.bias);
    if (bias) arguments.insert({DNNL_ARG_DIFF_BIAS, view(forms.bias, dbias)});
    run("conv2d_filter_gradient", *plan, std::move(arguments));
    if (bias && !bias_at_once) add(context, dbias, call.dbias);
    if (at_once) return;
    const auto key = conv_key(from_preferred_kind, e, {bias ? 1 : 0, static_cast<int>(call.dfilter.mode)});
    const auto back = plan_for(key, [&] { return reorder_plan(plan->weights, forms.filter, call.dfilter.mode); });
    run("reorder", *back,
        {{DNNL_ARG_FROM, view(plan->weights, dfilter)}, {DNNL_ARG_TO, view(forms.filter, call.dfilter.tensor)}});
  });
}

}  // namespace trireme::ops::onednn
