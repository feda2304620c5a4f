// A trained classifier of images or texts read back for use: its network from the options of the run, its weights from
// one of the run's checkpoints.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "datasets/dataset.hpp"
#include "launcher/run/frozen_weights.hpp"
#include "launcher/run/text_classification.hpp"

namespace trireme {

/// What the run that made a checkpoint was told.
struct ClassifierRun {
  std::string folder;  ///< The run's.
  std::string model;   ///< Of a run of the example sequence: lstm or gru.
  std::string data;
  std::optional<TextNetworkOptions> text = {};  ///< Of a run of sequence.
};

/// Error(usage) where the path is no run of image_classification or sequence and no checkpoint in one.
ClassifierRun classifier_run(const std::string& path);

struct LoadedClassifier {
  std::unique_ptr<Module> model;
  std::unique_ptr<ClassifierTask> task;
  FrozenWeights weights;
};

/// The network for the samples of `split`, with the newest whole weights of `path` on `device`. Error(usage) where they
/// are those of another network (other sizes of images, another number of classes).
LoadedClassifier load_classifier(const std::string& path, const ClassifierRun& run, const Split& split, Device device);

/// What the classifier says of some samples, in order.
struct ClassifiedSamples {
  std::vector<std::int32_t> truth;
  std::vector<float> probabilities;  ///< (samples, classes)
};

struct ClassifyRequest {
  std::shared_ptr<const Split> split;
  std::int64_t batch = 256;
  int threads = 1;
  Device device = Device::cpu();
};

/// Calls `take` with the samples of each batch.
void classify(LoadedClassifier& loaded, const ClassifyRequest& request,
              const std::function<void(const ClassifiedSamples&)>& take);

}  // namespace trireme
