// Which networks stand for their families where the laws are tested, and how they are trained there. Names of image
// models are those of core/models; the others are in layer_families.hpp.
#pragma once

#include "core/optim/optimizer.hpp"
#include "tests/law/layer_families.hpp"

namespace trireme {

struct ModelFamily {
  std::string name;
  std::int64_t side = 0;  ///< Of the images, in pixels.
  bool image_model = false;
  OptimizerOptions::Kind optimizer = OptimizerOptions::Kind::sgd;
  double rate = 0.01;
  double ema = 0;
  std::string groups = {};
};

inline const std::vector<ModelFamily>& model_families() {
  using Kind = OptimizerOptions::Kind;
  static const std::vector<ModelFamily> all{
      {.name = "lenet", .side = 32, .image_model = true},
      {.name = "alexnet", .side = 16, .image_model = true},
      {.name = "vgg-11", .side = 32, .image_model = true},
      {.name = "resnet-18", .side = 8, .image_model = true},
      {.name = "resnet-50", .side = 16, .image_model = true},
      {.name = "googlenet", .side = 8, .image_model = true},
      {.name = "mobilenet", .side = 16, .image_model = true},
      {.name = "lstm", .side = 8, .optimizer = Kind::rmsprop, .rate = 0.003, .ema = 0.9},
      {.name = "gru", .side = 8, .optimizer = Kind::lion, .rate = 0.001},
      {.name = "transformer", .side = 8, .optimizer = Kind::muon, .groups = "*.in_bias:rate=0"},
      {.name = "encoder-decoder", .side = 8, .optimizer = Kind::adafactor, .groups = "*.in_bias:rate=0"},
      {.name = "images", .side = 8, .optimizer = Kind::lamb}};
  return all;
}

}  // namespace trireme
