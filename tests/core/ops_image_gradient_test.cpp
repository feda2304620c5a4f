// Rows of the gradient check for ops on images: padding, resizing, pixel shuffle, group norm, transposed convolution.
#include <gtest/gtest.h>

#include "core/ops/conv2d.hpp"
#include "core/ops/group_norm.hpp"
#include "core/ops/image.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

using ops::Alignment;
using ops::Interpolation;
using ops::PadMode;

GradientCase pad_row(const std::string& variant, PadMode mode) {
  return {.op = "pad", .variant = variant, .shapes = {{2, 3, 4, 3}}, .function = [mode](Context& c, const Inputs& x) {
            return ops::pad(c, x[0], {.top = 1, .bottom = 2, .left = 2, .right = 0, .mode = mode, .value = 0.5});
          }};
}
const GradientCases pads({pad_row("constant", PadMode::constant), pad_row("reflect", PadMode::reflect),
                          pad_row("replicate", PadMode::replicate), pad_row("circular", PadMode::circular)});

GradientCase resize_row(const std::string& variant, const ops::InterpolateOptions& options) {
  return {.op = "interpolate",
          .variant = variant,
          .shapes = {{2, 4, 3, 2}},
          .function = [options](Context& c, const Inputs& x) { return ops::interpolate(c, x[0], options); }};
}
const GradientCases resizes({
    resize_row("nearest", {.height = 7, .width = 5, .mode = Interpolation::nearest}),
    resize_row("bilinear", {.height = 7, .width = 2}),
    resize_row("bilinear_corners", {.height = 3, .width = 5, .alignment = Alignment::corners}),
    resize_row("bicubic", {.height = 6, .width = 6, .mode = Interpolation::bicubic}),
    resize_row("bicubic_corners",
               {.height = 1, .width = 5, .mode = Interpolation::bicubic, .alignment = Alignment::corners}),
});

const GradientCases shuffles({
    {.op = "pixel_shuffle",
     .variant = "",
     .shapes = {{2, 2, 3, 8}},
     .function = [](Context& c, const Inputs& x) { return ops::pixel_shuffle(c, x[0], 2); }},
    {.op = "pixel_unshuffle",
     .variant = "",
     .shapes = {{2, 4, 6, 2}},
     .function = [](Context& c, const Inputs& x) { return ops::pixel_unshuffle(c, x[0], 2); }},
});

const GradientCases norms({
    {.op = "group_norm",
     .variant = "",
     .shapes = {{2, 3, 2, 6}, {6}, {6}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::group_norm(c, x[0], {x[1], x[2]}, {.groups = 2});
         }},
    {.op = "group_norm",
     .variant = "plain",
     .shapes = {{2, 3, 4}},
     .function = [](Context& c, const Inputs& x) { return ops::group_norm(c, x[0], {}, {.groups = 2}); }},
    {.op = "instance_norm",
     .variant = "",
     .shapes = {{2, 3, 3, 4}, {4}, {4}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::instance_norm(c, x[0], {x[1], x[2]});
         }},
});

GradientCase transpose_row(const std::string& variant, std::vector<Shape> shapes,
                           const ops::ConvTranspose2dOptions& options) {
  return {.op = "conv_transpose2d",
          .variant = variant,
          .shapes = std::move(shapes),
          .function =
              [options](Context& c, const Inputs& x) {
                const Value bias = x.size() > 2 ? x[2] : Value();
                return ops::conv_transpose2d(c, x[0], {.filter = x[1], .bias = bias}, options);
              },
          .f32_tolerance = 1e-4};
}
const GradientCases transposes({
    transpose_row("", {{2, 3, 2, 3}, {3, 3, 2, 4}, {4}}, {}),
    transpose_row("strided", {{1, 3, 4, 2}, {2, 3, 3, 3}},
                  {.conv = {.stride = {2, 3}, .padding = {1, 0}}, .output_padding = {1, 2}}),
    transpose_row("grouped", {{2, 2, 3, 4}, {4, 2, 3, 1}, {2}},
                  {.conv = {.stride = {1, 2}, .dilation = {2, 1}, .groups = 2}}),
    transpose_row("reference", {{1, 2, 3, 2}, {2, 2, 2, 2}, {2}},
                  {.conv = {.stride = {2, 2}, .backend = ops::Backend::reference}}),
});

TEST(Pad, WhatAModeCannotGiveIsRefused) {
  Stream stream;
  Context context(stream, system_allocator(Device::cpu()));
  const Value x(Tensor::zeros({1, 3, 3, 1}, DType::f32));
  EXPECT_THROW(ops::pad(context, x, {.top = 3, .mode = PadMode::reflect}), Error);
  EXPECT_THROW(ops::pad(context, x, {.left = 4, .mode = PadMode::circular}), Error);
  EXPECT_THROW(ops::pad(context, x, {.top = -1}), Error);
  EXPECT_EQ(ops::pad(context, x, {.left = 9, .mode = PadMode::replicate}).shape(), (Shape{1, 3, 12, 1}));
}

}  // namespace
}  // namespace trireme
