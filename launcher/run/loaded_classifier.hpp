// A trained image classifier read back for use: its network from the options of the run, its weights from one of the
// run's checkpoints.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "datasets/dataset.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/frozen_weights.hpp"

namespace trireme {

/// What the run that made a checkpoint was told.
struct ClassifierRun {
  std::string folder;  ///< The run's.
  std::string model;
  std::string data;
};

/// Error(usage) where the path is no run of image_classification and no checkpoint in one.
ClassifierRun classifier_run(const std::string& path);

struct LoadedClassifier {
  std::unique_ptr<Module> model;
  FrozenWeights weights;
};

/// The network for images of `form`, with the newest whole weights of `path` on `device`. Error(usage) where they are
/// those of another network (other sizes of images, another number of classes).
LoadedClassifier load_classifier(const std::string& path, const ClassifierRun& run, const ImageForm& form,
                                 Device device);

/// What the classifier says of some samples, in order.
struct ClassifiedSamples {
  std::vector<std::int32_t> truth;
  std::vector<float> probabilities;  ///< (samples, classes)
};

struct ClassifyRequest {
  Samples samples;
  std::int64_t batch = 256;
  int threads = 1;
  Device device = Device::cpu();
};

/// Calls `take` with the samples of each batch.
void classify(LoadedClassifier& loaded, const ClassifyRequest& request,
              const std::function<void(const ClassifiedSamples&)>& take);

}  // namespace trireme
