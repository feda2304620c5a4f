#include "core/tape/write.hpp"

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"

namespace trireme {
namespace {

template <class From, class To>
void launch(const Stream& stream, const Scaled& from, const Destination& to) {
  const auto factor = static_cast<Accum<To>>(from.factor);
  launch_elements(stream, to.tensor.elements(),
                  kernels::AddScaled<From, To>{from.tensor.data<From>(), to.tensor.data<To>(), factor, to.beta()});
}

}  // namespace

void write(const Stream& stream, const Scaled& from, const Destination& to) {
  const DType in = from.tensor.dtype(), out = to.tensor.dtype();
  require(from.tensor.elements() == to.tensor.elements(), "writing {} of {} into {} of {}", from.tensor.shape(),
          name_of(in), to.tensor.shape(), name_of(out));
  if (in == out)
    return with_floating(in, "write", [&](auto zero) { launch<decltype(zero), decltype(zero)>(stream, from, to); });
  if (in == DType::bf16 && out == DType::f32) return launch<BFloat16, float>(stream, from, to);
  if (in == DType::f16 && out == DType::f32) return launch<Float16, float>(stream, from, to);
  if (in == DType::f32 && out == DType::bf16) return launch<float, BFloat16>(stream, from, to);
  if (in == DType::f32 && out == DType::f16) return launch<float, Float16>(stream, from, to);
  fail(ExitCode::failure, "elements of {} cannot be written as {}: the types must be the same, or f32 and 16 bits",
       name_of(in), name_of(out));
}

}  // namespace trireme
