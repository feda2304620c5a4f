#include "core/models/residual_images.hpp"

#include <array>

#include "core/base/error.hpp"
#include "core/models/image_parts.hpp"

namespace trireme {
namespace {

constexpr auto rectified = ops::Activation::relu;
constexpr auto no_activation = ops::Activation::none;

struct ResNetForm {
  std::array<int, 4> blocks;
  bool bottleneck;
};

ResNetForm resnet_form(int depth) {
  switch (depth) {
    case 18:
      return {{2, 2, 2, 2}, false};
    case 34:
      return {{3, 4, 6, 3}, false};
    case 50:
      return {{3, 4, 6, 3}, true};
    case 101:
      return {{3, 4, 23, 3}, true};
    case 152:
      return {{3, 8, 36, 3}, true};
    default:
      fail(ExitCode::usage, "ResNet of {} layers: there are those of 18, 34, 50, 101 and 152", depth);
  }
}

/// One block of a stage of width `channels`; the first of a stage changes size or channels.
ResidualSum resnet_block(std::int64_t channels, std::int64_t stride, bool first, bool bottleneck) {
  const std::int64_t outputs = bottleneck ? 4 * channels : channels;
  Sequential body;
  if (bottleneck) {
    body.add(ConvNorm(channels, {.kernel = 1}))
        .add(ConvNorm(channels, {.stride = stride}))
        .add(ConvNorm(outputs, {.kernel = 1, .activation = no_activation}));
  } else {
    body.add(ConvNorm(channels, {.stride = stride})).add(ConvNorm(channels, {.activation = no_activation}));
  }
  std::optional<ConvNorm> shortcut;
  if (first) shortcut.emplace(outputs, ConvNormOptions{.kernel = 1, .stride = stride, .activation = no_activation});
  return ResidualSum(std::move(body), std::move(shortcut), rectified);
}

/// The channels of an inception block's four branches.
struct Inception {
  std::int64_t one, three_reduced, three, five_reduced, five, pooled;
};

Branches inception_block(const Inception& n) {
  return Branches(ConvNorm(n.one, {.kernel = 1}),
                  Sequential(ConvNorm(n.three_reduced, {.kernel = 1}), ConvNorm(n.three)),
                  Sequential(ConvNorm(n.five_reduced, {.kernel = 1}), ConvNorm(n.five)),
                  Sequential(MaxPool2d(3, {.stride = 1, .padding = 1}), ConvNorm(n.pooled, {.kernel = 1})));
}

}  // namespace

Sequential resnet(int depth, const ImageModelOptions& options) {
  const ResNetForm form = resnet_form(depth);
  std::int64_t channels = options.channels(64);
  Sequential model;
  if (options.small()) {
    model.add(ConvNorm(channels));
  } else {
    model.add(ConvNorm(channels, {.kernel = 7, .stride = 2})).add(MaxPool2d(3, {.stride = 2, .padding = 1}));
  }
  for (std::size_t stage = 0; stage < form.blocks.size(); ++stage, channels *= 2) {
    for (int block = 0; block < form.blocks[stage]; ++block) {
      const bool strided = block == 0 && stage > 0;
      // The stem has 64 channels: only bottlenecks change them in the first stage.
      const bool first = block == 0 && (stage > 0 || form.bottleneck);
      model.add(resnet_block(channels, strided ? 2 : 1, first, form.bottleneck));
    }
  }
  model.add(GlobalAveragePool()).add(Linear(options.classes));
  return model;
}

Sequential googlenet(const ImageModelOptions& options) {
  const PoolLayerOptions halve{.stride = 2, .padding = 1};
  const auto wide = [&](std::int64_t published) { return options.channels(published); };
  const auto inception = [&](const Inception& n) {
    return inception_block(
        {wide(n.one), wide(n.three_reduced), wide(n.three), wide(n.five_reduced), wide(n.five), wide(n.pooled)});
  };
  Sequential model;
  if (options.small()) {
    model.add(ConvNorm(wide(192)));
  } else {
    model.add(ConvNorm(wide(64), {.kernel = 7, .stride = 2}))
        .add(MaxPool2d(3, halve))
        .add(ConvNorm(wide(64), {.kernel = 1}))
        .add(ConvNorm(wide(192)))
        .add(MaxPool2d(3, halve));
  }
  model.add(inception({64, 96, 128, 16, 32, 32}))
      .add(inception({128, 128, 192, 32, 96, 64}))
      .add(MaxPool2d(3, halve))
      .add(inception({192, 96, 208, 16, 48, 64}))
      .add(inception({160, 112, 224, 24, 64, 64}))
      .add(inception({128, 128, 256, 24, 64, 64}))
      .add(inception({112, 144, 288, 32, 64, 64}))
      .add(inception({256, 160, 320, 32, 128, 128}))
      .add(MaxPool2d(3, halve))
      .add(inception({256, 160, 320, 32, 128, 128}))
      .add(inception({384, 192, 384, 48, 128, 128}))
      .add(GlobalAveragePool())
      .add(Dropout(0.2))
      .add(Linear(options.classes));
  return model;
}

Sequential mobilenet(const ImageModelOptions& options) {
  struct Step {
    std::int64_t outputs, stride;
  };
  static constexpr Step steps[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                                   {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
  const auto wide = [&](std::int64_t published) { return options.channels(published); };
  Sequential model(ConvNorm(wide(32), {.stride = options.small() ? 1 : 2}));
  std::int64_t channels = 32;
  for (const Step& step : steps) {
    // Small images keep their size for one step more.
    const std::int64_t stride = options.small() && channels == 64 ? 1 : step.stride;
    model.add(ConvNorm(wide(channels), {.stride = stride, .groups = wide(channels)}))
        .add(ConvNorm(wide(step.outputs), {.kernel = 1}));
    channels = step.outputs;
  }
  model.add(GlobalAveragePool()).add(Linear(options.classes));
  return model;
}

}  // namespace trireme
