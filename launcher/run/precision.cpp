#include "launcher/run/precision.hpp"

namespace trireme {

void PrecisionOptions::declare(OptionGroup& group) {
  group
      .add("precision", &precision,
           "type of weights and arithmetic: f32; tf32: f32 with faster, coarser products on GPUs; bf16, fp16: 16 bits "
           "with f32 masters, moments and sums; f64 for checks",
           {{"f32", Precision::f32},
            {"tf32", Precision::tf32},
            {"bf16", Precision::bf16},
            {"fp16", Precision::f16},
            {"f64", Precision::f64}})
      .add("gradients", &gradients,
           "type in which gradients are kept and summed over micro-batches and ranks: full is f32, half the type of "
           "16-bit weights",
           {{"full", GradientStorage::full}, {"half", GradientStorage::half}})
      .add("loss-scale", &loss_scaling.first, "of fp16: first factor of the loss in backward",
           {.low = LossScaling::smallest, .high = LossScaling::largest})
      .add("loss-scale-interval", &loss_scaling.interval, "of fp16: steps without overflow until it is doubled",
           {.low = 1});
}

DType PrecisionOptions::dtype() const {
  switch (precision) {
    case Precision::bf16:
      return DType::bf16;
    case Precision::f16:
      return DType::f16;
    case Precision::f64:
      return DType::f64;
    case Precision::f32:
    case Precision::tf32:
      break;
  }
  return DType::f32;
}

DType PrecisionOptions::gradient_dtype() const {
  if (gradients == GradientStorage::full) return accum_dtype(dtype());
  if (!is_half(dtype()))
    fail(ExitCode::usage, "--gradients half wants weights of 16 bits: use it with --precision bf16 or fp16");
  return dtype();
}

}  // namespace trireme
