#include "core/models/image_models.hpp"

#include <fmt/format.h>

#include <functional>

#include "core/base/error.hpp"
#include "core/models/classic_images.hpp"
#include "core/models/residual_images.hpp"

namespace trireme {
namespace {

struct Named {
  std::string name;
  std::int64_t least;  ///< Pixels of a side that the strides and pools need.
  std::function<Sequential(const ImageModelOptions&)> make;
};

const std::vector<Named>& table() {
  static const std::vector<Named> all = [] {
    std::vector<Named> out{
        {"cnn", 4, cnn}, {"mlp", 1, mlp}, {"seed-cnn", 18, seed_cnn}, {"lenet", 28, lenet}, {"alexnet", 16, alexnet}};
    for (const int depth : {11, 13, 16, 19}) {
      out.push_back({fmt::format("vgg-{}", depth), 32,
                     [depth](const ImageModelOptions& options) { return vgg({.depth = depth}, options); }});
      out.push_back({fmt::format("vgg-{}-bn", depth), 32, [depth](const ImageModelOptions& options) {
                       return vgg({.depth = depth, .batch_norm = true}, options);
                     }});
    }
    for (const int depth : {18, 34, 50, 101, 152})
      out.push_back({fmt::format("resnet-{}", depth), 1,
                     [depth](const ImageModelOptions& options) { return resnet(depth, options); }});
    out.push_back({"googlenet", 1, googlenet});
    out.push_back({"mobilenet", 1, mobilenet});
    return out;
  }();
  return all;
}

}  // namespace

std::vector<std::string> image_model_names() {
  std::vector<std::string> names;
  for (const Named& one : table()) names.push_back(one.name);
  return names;
}

std::unique_ptr<Module> make_image_model(const std::string& name, const ImageModelOptions& options) {
  for (const Named& one : table()) {
    if (one.name != name) continue;
    if (options.height < one.least || options.width < one.least)
      fail(ExitCode::usage, "the images have {} x {} pixels; {} needs {} x {} at least: take another --model",
           options.height, options.width, name, one.least, one.least);
    return std::make_unique<Sequential>(one.make(options));
  }
  fail(ExitCode::usage, "there is no network '{}'; there are {}", name, fmt::join(image_model_names(), ", "));
}

}  // namespace trireme
