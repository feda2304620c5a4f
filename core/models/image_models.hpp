// Networks that classify images, by name: small ones to begin with, and the classic ones in the form of their papers
// for large images. Images of at most 64 pixels get the form that is usual for CIFAR: no strides before the first
// stage, a small head.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/nn/module.hpp"

namespace trireme {

struct ImageModelOptions {
  std::int64_t height = 224, width = 224;  ///< Of the images, in pixels.
  std::int64_t classes = 1000;
  /// The share of the values that a head with hidden layers drops in training; GoogLeNet's is 0.2 in any case.
  double dropout = 0.5;
  /// Divides all channels and hidden units but LeNet's and the small ones', rounded up: the same network, narrower.
  std::int64_t thin = 1;
  std::int64_t channels(std::int64_t published) const { return (published + thin - 1) / thin; }
  bool small() const { return height <= 64 || width <= 64; }
};

/// cnn, mlp, seed-cnn, lenet, alexnet, vgg-11 ... resnet-152, googlenet, mobilenet: in the order in which help shows
/// them.
std::vector<std::string> image_model_names();

/// Maps (B, height, width, channels) to logits (B, classes). Error(usage) for an unknown name, or where the images are
/// too small for the network.
std::unique_ptr<Module> make_image_model(const std::string& name, const ImageModelOptions& options);

}  // namespace trireme
