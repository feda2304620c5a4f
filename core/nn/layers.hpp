// The layers of feed-forward and convolutional networks. Constructors say how many outputs there are and take no
// memory; the number of inputs is learnt from the shape-only pass that plans the arena (core/nn/arena.hpp). Images are
// (B, H, W, C) everywhere.
#pragma once

#include <optional>

#include "core/nn/module.hpp"
#include "core/ops/activation.hpp"
#include "core/ops/batch_norm.hpp"
#include "core/ops/conv2d.hpp"
#include "core/ops/matmul.hpp"
#include "core/ops/pooling.hpp"

namespace trireme {

enum class Bias : std::uint8_t { yes, no };

struct LinearOptions {
  ops::Activation activation = ops::Activation::none;
  Bias bias = Bias::yes;
  /// Default: Kaiming uniform over the inputs, as is usual before ReLU.
  std::optional<Initializer> weight = std::nullopt;
};

/// y = activation(x W^T + b): (..., inputs) -> (..., outputs); weight (outputs, inputs), bias (outputs).
class Linear : public Module {
 public:
  explicit Linear(std::int64_t outputs, const LinearOptions& options = {});
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  std::int64_t outputs_;
  LinearOptions options_;
  std::optional<Parameter> weight_, bias_;
};

struct Conv2dLayerOptions {
  std::int64_t kernel = 3;  ///< Height and width of the filters.
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;  ///< As many as inputs: a depthwise convolution.
  ops::Activation activation = ops::Activation::none;
  Bias bias = Bias::yes;
  std::optional<Initializer> weight = std::nullopt;
  std::int64_t dilation = 1;
};

/// (B, H, W, inputs) -> (B, H', W', outputs); weight (outputs, kernel, kernel, inputs / groups), bias (outputs).
class Conv2d : public Module {
 public:
  explicit Conv2d(std::int64_t outputs, const Conv2dLayerOptions& options = {});
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  std::int64_t outputs_;
  Conv2dLayerOptions options_;
  std::optional<Parameter> weight_, bias_;
};

struct PoolLayerOptions {
  std::int64_t stride = 0;  ///< 0: the window.
  std::int64_t padding = 0;
  /// ReLU of a maximum is the maximum of ReLUs: asked for here it needs no passes over the unpooled image.
  ops::Activation activation = ops::Activation::none;
};

/// The largest value of each window.
class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(std::int64_t window, const PoolLayerOptions& options = {});
  Value forward(Context& context, const Value& x) override;

 private:
  ops::Pool2dOptions options_;
};

/// The mean of each window.
class AveragePool2d : public Module {
 public:
  explicit AveragePool2d(std::int64_t window, const PoolLayerOptions& options = {});
  Value forward(Context& context, const Value& x) override;

 private:
  ops::Pool2dOptions options_;
};

/// (B, H, W, C) -> (B, C).
class GlobalAveragePool : public Module {
 public:
  Value forward(Context& context, const Value& x) override;
};

/// Over all dims but the last. Names: gain, bias; state running_mean, running_variance.
class BatchNorm : public Module {
 public:
  explicit BatchNorm(const ops::BatchNormOptions& options = {}) : options_(options) {}
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  ops::BatchNormOptions options_;
  std::optional<Parameter> gain_, bias_;
  std::optional<State> mean_, variance_;
};

/// Over the last dim.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(double epsilon = 1e-5) : epsilon_(epsilon) {}
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  double epsilon_;
  std::optional<Parameter> gain_, bias_;
};

class Relu : public Module {
 public:
  Value forward(Context& context, const Value& x) override;
};

class Gelu : public Module {
 public:
  Value forward(Context& context, const Value& x) override;
};

class Tanh : public Module {
 public:
  Value forward(Context& context, const Value& x) override;
};

class Sigmoid : public Module {
 public:
  Value forward(Context& context, const Value& x) override;
};

/// Zeroes each element with `probability` in training and scales the rest by 1 / (1 - probability).
class Dropout : public Module {
 public:
  explicit Dropout(double probability);
  Value forward(Context& context, const Value& x) override;

 private:
  double probability_;
};

/// (B, ...) -> (B, product of the rest).
class Flatten : public Module {
 public:
  Value forward(Context& context, const Value& x) override;
};

/// y = x + inner(x).
class Residual : public Module {
 public:
  template <class Inner>
  requires std::is_base_of_v<Module, Inner>
  explicit Residual(Inner inner) : inner_(std::make_unique<Inner>(std::move(inner))) {}
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  std::unique_ptr<Module> inner_;
};

}  // namespace trireme
