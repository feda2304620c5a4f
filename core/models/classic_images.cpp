#include "core/models/classic_images.hpp"

#include <initializer_list>

#include "core/base/error.hpp"
#include "core/models/image_parts.hpp"

namespace trireme {
namespace {

constexpr auto relu = ops::Activation::relu;
constexpr auto tanh = ops::Activation::tanh;

/// Two hidden layers of `width`, as AlexNet and VGG end.
void add_head(Sequential& model, std::int64_t width, const ImageModelOptions& options) {
  model.add(Flatten())
      .add(Dropout(options.dropout))
      .add(Linear(width, {.activation = relu}))
      .add(Dropout(options.dropout))
      .add(Linear(width, {.activation = relu}))
      .add(Linear(options.classes));
}

/// How many convolutions each of the five stages has.
std::initializer_list<int> vgg_stages(int depth) {
  static constexpr std::initializer_list<int> of_11{1, 1, 2, 2, 2}, of_13{2, 2, 2, 2, 2}, of_16{2, 2, 3, 3, 3},
      of_19{2, 2, 4, 4, 4};
  if (depth == 11) return of_11;
  if (depth == 13) return of_13;
  if (depth == 16) return of_16;
  require(depth == 19, "VGG of {} layers: there are those of 11, 13, 16 and 19", depth);
  return of_19;
}

}  // namespace

Sequential cnn(const ImageModelOptions& options) {
  return Sequential(Conv2d(32, {.kernel = 5, .padding = 2}), MaxPool2d(2, {.activation = relu}),  //
                    Conv2d(64, {.kernel = 3, .padding = 1}), MaxPool2d(2, {.activation = relu}),  //
                    Flatten(), Linear(128, {.activation = relu}), Dropout(options.dropout), Linear(options.classes));
}

Sequential seed_cnn(const ImageModelOptions& options) {
  return Sequential(Conv2d(32), MaxPool2d(2, {.activation = relu}), Conv2d(64), MaxPool2d(2, {.activation = relu}),
                    Conv2d(64, {.activation = relu}), Flatten(), Linear(64, {.activation = relu}),
                    Linear(options.classes));
}

Sequential mlp(const ImageModelOptions& options) {
  return Sequential(Flatten(), Linear(256, {.activation = relu}), Linear(128, {.activation = relu}),
                    Linear(options.classes));
}

Sequential lenet(const ImageModelOptions& options) {
  // The paper's images are 32 x 32; smaller ones are padded to that.
  const std::int64_t padding = options.height < 32 ? 2 : 0;
  return Sequential(Conv2d(6, {.kernel = 5, .padding = padding, .activation = tanh}), AveragePool2d(2),
                    Conv2d(16, {.kernel = 5, .activation = tanh}), AveragePool2d(2), Flatten(),
                    Linear(120, {.activation = tanh}), Linear(84, {.activation = tanh}), Linear(options.classes));
}

Sequential alexnet(const ImageModelOptions& options) {
  const bool small = options.small();
  const PoolLayerOptions pool{.stride = 2, .activation = relu};
  const std::int64_t window = small ? 2 : 3;
  const auto wide = [&](std::int64_t published) { return options.channels(published); };
  Sequential model(small ? Conv2d(wide(64), {.kernel = 3, .stride = 2, .padding = 1})
                         : Conv2d(wide(64), {.kernel = 11, .stride = 4, .padding = 2}),
                   MaxPool2d(window, pool), Conv2d(wide(192), {.kernel = small ? 3 : 5, .padding = small ? 1 : 2}),
                   MaxPool2d(window, pool), Conv2d(wide(384), {.padding = 1, .activation = relu}),
                   Conv2d(wide(256), {.padding = 1, .activation = relu}), Conv2d(wide(256), {.padding = 1}),
                   MaxPool2d(window, pool));
  add_head(model, options.channels(4096), options);
  return model;
}

Sequential vgg(const VggForm& form, const ImageModelOptions& options) {
  const bool norm = form.batch_norm || options.small();
  Sequential model;
  std::int64_t channels = 64;
  for (const int convolutions : vgg_stages(form.depth)) {
    for (int k = 0; k < convolutions; ++k) {
      const std::int64_t wide = options.channels(channels);
      model.add(Conv2d(wide, {.padding = 1,
                              .activation = norm ? ops::Activation::none : relu,
                              .weight = Initializer::kaiming_normal(9 * wide)}));
      if (norm) model.add(BatchNorm({.activation = relu}));
    }
    model.add(MaxPool2d(2));
    channels = std::min<std::int64_t>(512, 2 * channels);
  }
  if (options.small()) {
    model.add(Flatten()).add(Linear(options.classes));
  } else {
    add_head(model, options.channels(4096), options);
  }
  return model;
}

}  // namespace trireme
