// Networks for images: as many parameters as published, sizes that do not fit are refused, and each of them can be
// trained on small images.
#include "core/models/image_models.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/base/error.hpp"
#include "core/nn/arena.hpp"
#include "core/ops/cross_entropy.hpp"

namespace trireme {
namespace {

std::int64_t count_parameters(const std::string& name, const ImageModelOptions& options, std::int64_t channels) {
  const auto model = make_image_model(name, options);
  Shape logits;
  plan_arena(*model, {}, [&](Context& context) {
    const Tensor images = Tensor::empty({2, options.height, options.width, channels}, DType::f32, Device::meta());
    logits = model->forward(context, images).shape();
  });
  EXPECT_EQ(logits, (Shape{2, options.classes})) << name;
  std::int64_t count = 0;
  for (const NamedParameter& one : parameters_of(*model)) count += one.parameter->shape().elements();
  return count;
}

// The counts that torchvision (0.24) and Keras (MobileNet, trainable) publish for 1000 classes at 224 x 224 pixels.
TEST(ImageModels, HaveAsManyParametersAsPublished) {
  const std::map<std::string, std::int64_t> published{
      {"alexnet", 61'100'840},    {"vgg-11", 132'863'336},    {"vgg-13", 133'047'848},    {"vgg-16", 138'357'544},
      {"vgg-19", 143'667'240},    {"vgg-11-bn", 132'868'840}, {"vgg-13-bn", 133'053'736}, {"vgg-16-bn", 138'365'992},
      {"vgg-19-bn", 143'678'248}, {"resnet-18", 11'689'512},  {"resnet-34", 21'797'672},  {"resnet-50", 25'557'032},
      {"resnet-101", 44'549'160}, {"resnet-152", 60'192'808}, {"googlenet", 6'624'904},   {"mobilenet", 4'231'976}};
  for (const auto& [name, count] : published) EXPECT_EQ(count_parameters(name, {}, 3), count) << name;
  EXPECT_EQ(count_parameters("lenet", {.height = 28, .width = 28, .classes = 10}, 1), 61'706);
  EXPECT_EQ(count_parameters("lenet", {.height = 32, .width = 32, .classes = 10}, 1), 61'706);
}

TEST(ImageModels, TakeSmallImages) {
  for (const std::string& name : image_model_names())
    count_parameters(name, {.height = 32, .width = 32, .classes = 10}, 3);
}

TEST(ImageModels, RefuseWhatDoesNotFit) {
  const auto message = [](const std::string& name, std::int64_t side) -> std::string {
    try {
      make_image_model(name, {.height = side, .width = side, .classes = 10});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("resnet-19", 32).find("resnet-18"), std::string::npos);
  EXPECT_NE(message("vgg-16", 16).find("16 x 16 pixels"), std::string::npos);
  EXPECT_EQ(message("vgg-16", 32), "");
  EXPECT_EQ(message("lenet", 28), "");
  EXPECT_NE(message("lenet", 27), "");
}

/// Loss of a batch whose labels are random, before and after some steps down the gradient.
class ImageModelTraining : public testing::TestWithParam<std::string> {};

TEST_P(ImageModelTraining, LossFalls) {
  constexpr std::int64_t rows = 4, side = 32, classes = 3;
  const auto model = make_image_model(GetParam(), {.height = side, .width = side, .classes = classes, .dropout = 0});
  std::vector<float> pixels;
  for (int k = 0; k < rows * side * side * 3; ++k) pixels.push_back(std::sin(static_cast<float>(k * k % 977)));
  const Tensor images = Tensor::from(pixels, {rows, side, side, 3});
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{0, 1, 2, 1}, {rows});
  const ArenaLayout layout = plan_arena(*model, {}, [&](Context& context) {
    model->forward(context, Tensor::empty(images.shape(), DType::f32, Device::meta()));
  });
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Planes planes = allocate_planes(layout, Device::cpu(), memory);
  materialize(*model, layout, planes, 3);
  const auto step = [&](std::int64_t number) {
    Context context{stream, memory};
    PlaneGradients store(layout, planes.grad);
    Tape tape(store);
    const StepState state{.step = number, .random_seed = 5};
    store.begin();
    context.begin_training({.tape = &tape, .state = &state});
    const auto result = ops::cross_entropy(context, model->forward(context, images), labels, {});
    const double loss = result.loss_sum();
    tape.backward(context, result.loss, 1);
    store.finish();
    const auto gradient = planes.grad.to_vector<float>();
    double square = 0;
    for (const float g : gradient) square += static_cast<double>(g) * static_cast<double>(g);
    EXPECT_TRUE(std::isfinite(square) && square > 0);
    float* const weights = planes.param.data<float>();
    // A step of fixed length along the gradient.
    const auto rate = static_cast<float>(0.02 / std::sqrt(square));
    for (std::size_t k = 0; k < gradient.size(); ++k) weights[k] -= rate * gradient[k];
    planes.param.buffer()->bump_version();
    return loss;
  };
  const double first = step(1);
  double last = first;
  for (std::int64_t number = 2; number <= 3; ++number) last = step(number);
  EXPECT_LT(last, first);
}

std::vector<std::string> one_of_each_family() { return {"lenet", "vgg-11", "resnet-18", "googlenet", "mobilenet"}; }

INSTANTIATE_TEST_SUITE_P(Families, ImageModelTraining, testing::ValuesIn(one_of_each_family()), [](const auto& one) {
  std::string name = one.param;
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace trireme
