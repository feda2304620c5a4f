// Further layers of convolutional networks: transposed convolution, padding, resizing, norms of groups and instances,
// and activations with a number of their own. Images are (B, H, W, C).
#pragma once

#include "core/nn/layers.hpp"
#include "core/ops/group_norm.hpp"
#include "core/ops/image.hpp"

namespace trireme {

struct ConvTranspose2dLayerOptions {
  std::int64_t kernel = 2;  ///< Height and width of the filters.
  std::int64_t stride = 2;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  ops::Activation activation = ops::Activation::none;
  Bias bias = Bias::yes;
  std::optional<Initializer> weight = std::nullopt;
};

/// (B, H, W, inputs) -> (B, H', W', outputs) as ops::conv_transpose2d; weight (inputs, kernel, kernel, outputs /
/// groups), bias (outputs).
class ConvTranspose2d : public Module {
 public:
  explicit ConvTranspose2d(std::int64_t outputs, const ConvTranspose2dLayerOptions& options = {});
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  std::int64_t outputs_;
  ConvTranspose2dLayerOptions options_;
  std::optional<Parameter> weight_, bias_;
};

/// Over each sample's groups of channels. Names: gain, bias.
class GroupNorm : public Module {
 public:
  explicit GroupNorm(std::int64_t groups, double epsilon = 1e-5);
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  ops::GroupNormOptions options_;
  std::optional<Parameter> gain_, bias_;
};

/// Over each sample's channels alone; without gain and bias unless `affine` says yes.
class InstanceNorm : public Module {
 public:
  enum class Affine : std::uint8_t { yes, no };
  explicit InstanceNorm(Affine affine = Affine::no, double epsilon = 1e-5) : affine_(affine), epsilon_(epsilon) {}
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  Affine affine_;
  double epsilon_;
  std::optional<Parameter> gain_, bias_;
};

class Pad2d : public Module {
 public:
  explicit Pad2d(const ops::PadOptions& options) : options_(options) {}
  Value forward(Context& context, const Value& x) override { return ops::pad(context, x, options_); }

 private:
  ops::PadOptions options_;
};

/// Height and width times a whole factor.
class Upsample : public Module {
 public:
  explicit Upsample(std::int64_t factor, ops::Interpolation mode = ops::Interpolation::nearest);
  Value forward(Context& context, const Value& x) override;

 private:
  std::int64_t factor_;
  ops::Interpolation mode_;
};

class PixelShuffle : public Module {
 public:
  explicit PixelShuffle(std::int64_t factor) : factor_(factor) {}
  Value forward(Context& context, const Value& x) override { return ops::pixel_shuffle(context, x, factor_); }

 private:
  std::int64_t factor_;
};

class LeakyRelu : public Module {
 public:
  explicit LeakyRelu(double slope = 0.01) : slope_(slope) {}
  Value forward(Context& context, const Value& x) override { return ops::leaky_relu(context, x, slope_); }

 private:
  double slope_;
};

class Silu : public Module {
 public:
  Value forward(Context& context, const Value& x) override { return ops::silu(context, x); }
};

class Softplus : public Module {
 public:
  Value forward(Context& context, const Value& x) override { return ops::softplus(context, x); }
};

}  // namespace trireme
