// The networks behind the names of image_models.hpp whose layers branch or are summed: residual networks, GoogLeNet,
// MobileNet.
#pragma once

#include "core/models/image_models.hpp"
#include "core/nn/layers.hpp"

namespace trireme {

/// ResNet (He, Zhang, Ren, Sun 2015, arXiv:1512.03385) of 18, 34, 50, 101 or 152 layers; strides of bottlenecks lie in
/// their 3 x 3 convolutions, as is usual now. 11,689,512 parameters (18) to 60,192,808 (152) for 1000 classes.
Sequential resnet(int depth, const ImageModelOptions& options);

/// GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842) with batch norm, 3 x 3 for its 5 x 5 filters and without the
/// helping heads, as it is distributed today: 6,624,904 parameters for 1000 classes.
Sequential googlenet(const ImageModelOptions& options);

/// MobileNet (Howard et al. 2017, arXiv:1704.04861) of width 1: 3 x 3 convolutions of each channel by itself, then
/// 1 x 1 over all: 4,231,976 parameters for 1000 classes.
Sequential mobilenet(const ImageModelOptions& options);

}  // namespace trireme
