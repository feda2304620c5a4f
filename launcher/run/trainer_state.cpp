// The trainer's counts as JSON, as they stand in the manifest of a checkpoint.
#include <cmath>

#include "core/base/error.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {
namespace {

Improvement improvement_from(const Json& json) {
  Improvement out{.without = json.at("without")};
  if (json.contains("best")) out.best = json["best"].get<double>();
  return out;
}

}  // namespace

Json TrainerState::to_json() const {
  Json json{{"steps", steps},
            {"samples", samples},
            {"skipped", skipped},
            {"skipped_in_a_row", skipped_in_a_row},
            {"training_seconds", training_seconds},
            {"elapsed_seconds", elapsed_seconds},
            {"loss_scale", loss_scale.value},
            {"loss_scale_steps", loss_scale.steps},
            {"overflows", overflows},
            {"outliers", outliers},
            {"losses", losses.values()},
            {"norms", norms.values()},
            {"validation_due", validation_due}};
  json["plateau"] = {{"scale", plateau.scale}, {"without", plateau.improvement.without}};
  if (plateau.improvement.best) json["plateau"]["best"] = *plateau.improvement.best;
  json["improvement"] = {{"without", improvement.without}};
  if (improvement.best) json["improvement"]["best"] = *improvement.best;
  json["stopped_early"] = stopped_early;
  // JSON has no word for a value that is not finite; the run goes on without it then.
  if (validation_loss && std::isfinite(*validation_loss)) json["validation_loss"] = *validation_loss;
  if (validation_accuracy && std::isfinite(*validation_accuracy)) json["validation_accuracy"] = *validation_accuracy;
  return json;
}

TrainerState TrainerState::from_json(const Json& json) {
  try {
    TrainerState out{.steps = json.at("steps"),
                     .samples = json.at("samples"),
                     .skipped = json.at("skipped"),
                     .skipped_in_a_row = json.at("skipped_in_a_row"),
                     .training_seconds = json.at("training_seconds"),
                     .elapsed_seconds = json.at("elapsed_seconds"),
                     .loss_scale = {.value = json.at("loss_scale")}};
    // Checkpoints of version 0.1.0 and before have no windows, and had no use for a loss scale.
    if (json.contains("loss_scale_steps")) out.loss_scale.steps = json["loss_scale_steps"];
    if (json.contains("overflows")) out.overflows = json["overflows"];
    if (json.contains("outliers")) out.outliers = json["outliers"];
    if (json.contains("losses")) out.losses.restore(json["losses"].get<std::vector<double>>());
    if (json.contains("norms")) out.norms.restore(json["norms"].get<std::vector<double>>());
    if (json.contains("validation_due")) out.validation_due = json["validation_due"].get<bool>();
    if (json.contains("validation_loss")) out.validation_loss = json["validation_loss"].get<double>();
    if (json.contains("validation_accuracy")) out.validation_accuracy = json["validation_accuracy"].get<double>();
    if (json.contains("plateau")) {
      out.plateau.scale = json["plateau"].at("scale");
      out.plateau.improvement = improvement_from(json["plateau"]);
    }
    if (json.contains("improvement")) out.improvement = improvement_from(json["improvement"]);
    if (json.contains("stopped_early")) out.stopped_early = json["stopped_early"].get<bool>();
    if (!(out.plateau.scale >= 0 && out.plateau.scale <= 1))
      fail(ExitCode::corrupt_input, "the factor of the learning rate in the checkpoint is {}; wanted 0 to 1",
           out.plateau.scale);
    if (!(out.loss_scale.value >= LossScaling::smallest && out.loss_scale.value <= LossScaling::largest))
      fail(ExitCode::corrupt_input, "the loss scale in the checkpoint is {}; wanted {} to {}", out.loss_scale.value,
           LossScaling::smallest, LossScaling::largest);
    return out;
  } catch (const Json::exception& error) {
    fail(ExitCode::corrupt_input, "the trainer's numbers in the checkpoint cannot be used: {}", error.what());
  }
}

}  // namespace trireme
