#include "core/ops/elementwise.hpp"

#include <optional>

#include "core/ops/map.hpp"
#include "core/ops/reduce.hpp"
#include "core/tape/write.hpp"

namespace trireme::ops {
namespace {

/// How the operands of one size each cover the result: `full` has its shape, `row` repeats over leading dims, `one`
/// element is for all.
enum class Cover : std::uint8_t { full, row, one };

struct Layout {
  Shape shape;
  Cover a = Cover::full, b = Cover::full;
  std::int64_t features = 0;  ///< Elements of the repeated row, where there is one.
  bool by_rows() const { return a == Cover::row || b == Cover::row; }
  std::int64_t rows() const { return features == 0 ? 0 : shape.elements() / features; }
  std::int64_t stride(Cover cover) const { return cover == Cover::full ? features : 0; }
};

bool is_trailing(const Shape& small, const Shape& large) {
  if (small.dims() > large.dims()) return false;
  const auto tail = large.extents().subspan(static_cast<std::size_t>(large.dims() - small.dims()));
  return std::equal(tail.begin(), tail.end(), small.extents().begin());
}

Layout layout_of(const char* op, const Value& a, const Value& b) {
  require(a.dtype() == b.dtype(), "{}: the operands are {} and {}; convert one so that both have one element type", op,
          name_of(a.dtype()), name_of(b.dtype()));
  const Shape &left = a.shape(), &right = b.shape();
  const bool b_repeats = is_trailing(right, left) || (right.elements() == 1 && !is_trailing(left, right));
  const Shape &large = b_repeats ? left : right, &small = b_repeats ? right : left;
  const bool one = small.elements() == 1;
  require(one || is_trailing(small, large),
          "{}: the shapes {} and {} do not fit; they must be equal, or the smaller one must be the last dims of the "
          "larger or have one element: reshape or permute one of them",
          op, left, right);
  Layout out{.shape = large, .features = small.elements()};
  if (!(left == right)) (b_repeats ? out.b : out.a) = one ? Cover::one : Cover::row;
  return out;
}

int step(Cover cover) { return cover == Cover::one ? 0 : 1; }

template <class F>
Tensor combine(Context& context, const Layout& layout, const Tensor& a, const Tensor& b) {
  const Tensor y = context.empty(layout.shape, a.dtype());
  with_floating(a.dtype(), F::name, [&](auto zero) {
    using T = decltype(zero);
    if (layout.by_rows()) {
      launch_rows(context.stream(), {layout.rows(), layout.features},
                  kernels::CombineRows<T, F>{a.data<T>(), b.data<T>(), y.data<T>(), layout.stride(layout.a),
                                             layout.stride(layout.b), layout.features});
    } else {
      launch_elements(context.stream(), y.elements(),
                      kernels::Combine<T, F>{a.data<T>(), b.data<T>(), y.data<T>(), step(layout.a), step(layout.b)});
    }
  });
  return y;
}

/// Operands of a gradient in the order the slope wants them.
struct SlopeOperands {
  Tensor a, b;
  Cover cover_a, cover_b;
};

/// Writes dy * slope(a, b), of the result's shape.
template <class S>
void write_product(Context& context, const Layout& layout, const SlopeOperands& x,
                   const std::pair<Tensor, Destination>& dy_to) {
  const auto& [dy, to] = dy_to;
  with_floating(dy.dtype(), S::name, [&, &dy = dy, &to = to](auto zero) {
    using T = decltype(zero);
    const auto beta = static_cast<Accum<T>>(to.beta());
    if (layout.by_rows()) {
      launch_rows(context.stream(), {layout.rows(), layout.features},
                  kernels::CombineGradientRows<T, S>{x.a.data<T>(), x.b.data<T>(), dy.data<T>(), to.tensor.data<T>(),
                                                     layout.stride(x.cover_a), layout.stride(x.cover_b),
                                                     layout.features, beta});
    } else {
      launch_elements(context.stream(), dy.elements(),
                      kernels::CombineGradient<T, S>{x.a.data<T>(), x.b.data<T>(), dy.data<T>(), to.tensor.data<T>(),
                                                     step(x.cover_a), step(x.cover_b), beta});
    }
  });
}

/// The gradient dy * slope(a, b) of input k, summed over leading dims where the input repeats (`cover`).
template <class S>
void slope_gradient(Context& context, Gradients& g, const Layout& layout, const std::pair<int, SlopeOperands>& input) {
  const auto& [k, operands] = input;
  const Tensor dy = g.output();
  if ((k == 0 ? layout.a : layout.b) == Cover::full) return write_product<S>(context, layout, operands, {dy, g.to(k)});
  const Tensor full = context.empty(layout.shape, dy.dtype());
  write_product<S>(context, layout, operands, {dy, {full, Write::overwrite}});
  column_sum_into(context, full, g.to_stored(k), 1);
}

/// Gradients of a + sign * b. The arrived gradient itself goes to operands of its shape, unscaled.
void sum_gradient(Context& context, Gradients& g, const Layout& layout, double sign) {
  const Tensor dy = g.output();
  if (g.wanted(1)) {
    if (layout.b != Cover::full) {
      column_sum_into(context, dy, g.to_stored(1), sign);
    } else if (sign == 1) {
      g.hand_over(1, dy);
    } else {
      write(context.stream(), {dy, sign}, g.to_stored(1));
    }
  }
  if (!g.wanted(0)) return;
  if (layout.a == Cover::full) return g.hand_over(0, dy);
  column_sum_into(context, dy, g.to_stored(0), 1);
}

template <class F>
Value sum_like(Context& context, const Value& a, const Value& b, double sign) {
  const Layout layout = layout_of(F::name, a, b);
  const Tensor y = combine<F>(context, layout, a.tensor(), b.tensor());
  const Value inputs[] = {a, b};
  return context.record(
      {F::name, inputs, [layout, sign](Context& c, Gradients& g) { sum_gradient(c, g, layout, sign); }}, y);
}

/// Keeps both operands, or only the one that the other's gradient needs.
struct KeptOperands {
  std::optional<Saved> a, b;
};

}  // namespace

Value add(Context& context, const Value& a, const Value& b) { return sum_like<kernels::Add>(context, a, b, 1); }

Value sub(Context& context, const Value& a, const Value& b) { return sum_like<kernels::Subtract>(context, a, b, -1); }

Value mul(Context& context, const Value& a, const Value& b) {
  const Layout layout = layout_of("mul", a, b);
  const Tensor y = combine<kernels::Multiply>(context, layout, a.tensor(), b.tensor());
  KeptOperands kept;
  if (b.needs_gradient()) kept.a.emplace(a);
  if (a.needs_gradient()) kept.b.emplace(b);
  const Value inputs[] = {a, b};
  return context.record({"mul", inputs,
                         [layout, kept](Context& c, Gradients& g) {
                           // the slope towards one operand is the other, which also stands in for the unused argument
                           using S = kernels::MultiplySlope;
                           if (g.wanted(0)) {
                             const Tensor& other = kept.b->get();
                             slope_gradient<S>(c, g, layout, {0, {other, other, layout.b, layout.b}});
                           }
                           if (g.wanted(1)) {
                             const Tensor& other = kept.a->get();
                             slope_gradient<S>(c, g, layout, {1, {other, other, layout.a, layout.a}});
                           }
                         }},
                        y);
}

Value div(Context& context, const Value& a, const Value& b) {
  const Layout layout = layout_of("div", a, b);
  const Tensor y = combine<kernels::Divide>(context, layout, a.tensor(), b.tensor());
  KeptOperands kept;
  kept.b.emplace(b);
  if (b.needs_gradient()) kept.a.emplace(a);
  const Value inputs[] = {a, b};
  return context.record(
      {"div", inputs,
       [layout, kept](Context& c, Gradients& g) {
         const Tensor& divisor = kept.b->get();
         if (g.wanted(0))
           slope_gradient<kernels::DivideSlopeLeft>(c, g, layout, {0, {divisor, divisor, layout.b, layout.b}});
         if (g.wanted(1))
           slope_gradient<kernels::DivideSlopeRight>(c, g, layout, {1, {kept.a->get(), divisor, layout.a, layout.b}});
       }},
      y);
}

Value scale(Context& context, const Value& x, double factor) {
  const Tensor y = context.empty(x.shape(), x.dtype());
  write(context.stream(), {x.tensor(), factor}, {y, Write::overwrite});
  return context.record({"scale",
                         {&x, 1},
                         [factor](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           write(c.stream(), {dy, factor}, g.to_stored(0));
                         }},
                        y);
}

Value add_scalar(Context& context, const Value& x, double offset) {
  const Tensor y = context.empty(x.shape(), x.dtype());
  with_floating(x.dtype(), "add_scalar", [&](auto zero) {
    using T = decltype(zero);
    using F = kernels::AddNumber<Accum<T>>;
    launch_elements(context.stream(), y.elements(),
                    kernels::Map<T, F>{x.tensor().data<T>(), y.data<T>(), F{static_cast<Accum<T>>(offset)}});
  });
  return context.record({"add_scalar", {&x, 1}, [](Context&, Gradients& g) { g.hand_over(0, g.output()); }}, y);
}

Value exp(Context& context, const Value& x) { return map_elements<kernels::Exp>(context, x, Keeps::output); }
Value log(Context& context, const Value& x) { return map_elements<kernels::Log>(context, x, Keeps::input); }
Value sqrt(Context& context, const Value& x) { return map_elements<kernels::Sqrt>(context, x, Keeps::output); }
Value square(Context& context, const Value& x) { return map_elements<kernels::Square>(context, x, Keeps::input); }
Value abs(Context& context, const Value& x) { return map_elements<kernels::Abs>(context, x, Keeps::input); }

Value power(Context& context, const Value& x, double exponent) {
  return map_elements_with<kernels::Power>(context, x, {exponent});
}

Value clamp(Context& context, const Value& x, double low, double high) {
  require(low <= high, "clamp: the range from {} to {} is empty; give the lower end first", low, high);
  return map_elements_with<kernels::Clamp>(context, x, {low, high});
}

}  // namespace trireme::ops
