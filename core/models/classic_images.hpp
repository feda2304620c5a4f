// The networks behind the names of image_models.hpp that are a chain of plain layers.
#pragma once

#include "core/models/image_models.hpp"
#include "core/nn/layers.hpp"

namespace trireme {

/// Two convolutions and a hidden layer, with dropout.
Sequential cnn(const ImageModelOptions& options);
/// Three 3 x 3 convolutions, 32, 64 and 64, with maxima between, and a hidden layer of 64.
Sequential seed_cnn(const ImageModelOptions& options);
/// Hidden layers of 256 and 128.
Sequential mlp(const ImageModelOptions& options);

/// LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998) with plain means for its trainable subsampling: 61,706 parameters for
/// 10 classes of grey images of 28 x 28 or 32 x 32 pixels.
Sequential lenet(const ImageModelOptions& options);

/// AlexNet in its form for one device (Krizhevsky 2014, arXiv:1404.5997): 61,100,840 parameters for 1000 classes at
/// 224 x 224 pixels.
Sequential alexnet(const ImageModelOptions& options);

/// VGG (Simonyan and Zisserman 2014, arXiv:1409.1556) of 11, 13, 16 or 19 layers with weights, with batch norm where
/// `batch_norm`; in the small form always.
struct VggForm {
  int depth = 16;
  bool batch_norm = false;
};
Sequential vgg(const VggForm& form, const ImageModelOptions& options);

}  // namespace trireme
