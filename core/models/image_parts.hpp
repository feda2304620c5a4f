// Parts that networks for images are made of, besides the plain layers of core/nn/layers.hpp. Images are (B, H, W, C).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/nn/layers.hpp"

namespace trireme {

struct ConvNormOptions {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t groups = 1;
  ops::Activation activation = ops::Activation::relu;
};

/// activation(batch_norm(convolution without bias)), the image padded by kernel / 2 on each side, so that stride 1
/// keeps its size. Weights begin by Kaiming's normal rule over the outputs (fan out), as He et al. 2015 train such
/// networks. Names: conv, norm.
class ConvNorm : public Module {
 public:
  explicit ConvNorm(std::int64_t outputs, const ConvNormOptions& options = {});
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  Conv2d conv_;
  BatchNorm norm_;
};

/// The results of several modules for the same input, joined along the channels. Names: 0, 1, ...
class Branches : public Module {
 public:
  template <class... Layers>
  requires(std::is_base_of_v<Module, Layers>&&...) explicit Branches(Layers... layers) {
    (layers_.push_back(std::make_unique<Layers>(std::move(layers))), ...);
  }
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  std::vector<std::unique_ptr<Module>> layers_;
};

/// activation(body(x) + shortcut(x)); without a shortcut x itself. Names: body, shortcut.
class ResidualSum : public Module {
 public:
  explicit ResidualSum(Sequential body, std::optional<ConvNorm> shortcut = std::nullopt,
                       ops::Activation activation = ops::Activation::none)
      : body_(std::move(body)), shortcut_(std::move(shortcut)), activation_(activation) {}
  Value forward(Context& context, const Value& x) override;
  void parts(Visitor& visit) override;

 private:
  Sequential body_;
  std::optional<ConvNorm> shortcut_;
  ops::Activation activation_;
};

}  // namespace trireme
