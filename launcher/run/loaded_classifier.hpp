// A network that image_classification, sequence or table trained, read back for use: the network from the options of
// the run, its weights from one of the run's checkpoints.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "datasets/dataset.hpp"
#include "launcher/run/frozen_weights.hpp"
#include "launcher/run/regression.hpp"
#include "launcher/run/text_classification.hpp"

namespace trireme {

/// What the run that made a checkpoint was told.
struct ClassifierRun {
  std::string folder;  ///< The run's.
  std::string model;   ///< Of image_classification; lstm or gru of sequence; "table" of table.
  std::string data;
  std::optional<TextNetworkOptions> text = {};  ///< Of sequence.
  std::vector<std::int64_t> hidden = {};        ///< Of table.
  bool is_table() const { return model == "table"; }
};

/// Error(usage) where the path is no run of image_classification, sequence or table and no checkpoint in one.
ClassifierRun classifier_run(const std::string& path);

struct LoadedClassifier {
  std::unique_ptr<Module> model;
  std::unique_ptr<ClassifierTask> classifier;  ///< Null: a regression.
  std::unique_ptr<Regression> regression;      ///< Null: a classifier.
  FrozenWeights weights;
  bool answered = true;  ///< Whether the samples say what they are; else they can be predicted, not judged.
};

struct ClassifierWeights {
  Device device;
  WeightKind kind = WeightKind::averaged;
};

/// The network for `samples`, with the newest whole weights of `path` on a device. Error(usage) where they
/// are those of another network (other sizes of images, another number of classes), or where a table has other columns
/// or was scaled otherwise than the one the run was trained on, or is a mix of several.
LoadedClassifier load_classifier(const std::string& path, const ClassifierRun& run, const SampleSource& samples,
                                 const ClassifierWeights& weights);

/// What the classifier says of some samples, in order.
struct ClassifiedSamples {
  std::vector<std::int32_t> truth;   ///< Empty where the samples do not say it.
  std::vector<float> probabilities;  ///< (samples, classes)
};

struct ClassifyRequest {
  Samples samples;
  std::int64_t batch = 256;
  int threads = 1;
  Device device = Device::cpu();
};

/// Calls `take` with the samples of each batch. `loaded` must be a classifier.
void classify(LoadedClassifier& loaded, const ClassifyRequest& request,
              const std::function<void(const ClassifiedSamples&)>& take);

/// What a regression says of some samples, in order: (samples, targets) in the units of the table's columns.
struct PredictedSamples {
  std::vector<double> truth, predicted;
};

/// The same for a regression, which `loaded` must be; returns what Regression::evaluate() gives, added up over all
/// samples.
std::vector<double> predict_numbers(LoadedClassifier& loaded, const ClassifyRequest& request,
                                    const std::function<void(const PredictedSamples&)>& take);

}  // namespace trireme
