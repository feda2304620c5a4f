// Small networks of the layers beside dense ones and plain convolutions, for runs on several ranks and runs that are
// resumed. Images (B, H, W, C) serve as sequences of their lines. No bias stands where its gradient is zero but for
// rounding, of which some optimizers make steps of random sign.
#pragma once

#include "core/nn/image_layers.hpp"
#include "core/nn/recurrent.hpp"
#include "core/nn/transformer.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme {

/// (B, H, W, C) -> (B, H, W C).
struct Lines : Module {
  Value forward(Context& context, const Value& x) override {
    const Shape& s = x.shape();
    return ops::reshape(context, x, {s[0], s[1], s[2] * s[3]});
  }
};

/// A network of the family.
inline Sequential layer_family(const std::string& name, std::int64_t classes) {
  const RecurrentLayerOptions both{.layers = 2, .directions = RecurrentLayerOptions::Directions::both, .dropout = 0.1};
  if (name == "lstm") return Sequential(Lines(), Lstm(6, both), Flatten(), Linear(classes));
  if (name == "gru") return Sequential(Lines(), Gru(6, both), Flatten(), Linear(classes));
  if (name == "transformer")
    return Sequential(Lines(), Linear(8),
                      TransformerEncoder({.heads = 2, .inner = 12, .dropout = 0.1, .relative_distance = 3}), Flatten(),
                      Linear(classes));
  if (name == "encoder-decoder")
    return Sequential(Lines(), Linear(8), Transformer({.heads = 2, .inner = 12, .dropout = 0.1}), Flatten(),
                      Linear(classes));
  return Sequential(Conv2d(4, {.kernel = 1}), Pad2d({.top = 1, .bottom = 1, .mode = ops::PadMode::reflect}),
                    Conv2d(4, {.padding = 1, .groups = 4, .dilation = 2}), GroupNorm(2), LeakyRelu(), MaxPool2d(2),
                    ConvTranspose2d(4, {.bias = Bias::no}), InstanceNorm(InstanceNorm::Affine::yes), Silu(),
                    MaxPool2d(2), PixelShuffle(2), Upsample(2, ops::Interpolation::bilinear), MaxPool2d(4), Flatten(),
                    Linear(classes));
}

}  // namespace trireme
