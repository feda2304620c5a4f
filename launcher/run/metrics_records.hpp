// The records of metrics.jsonl, one JSON object per line. Floats read back bit for bit; values that are not finite are
// the texts "nan", "inf", "-inf". The fields of each record are listed in docs/launching.md; readers pass over kinds
// they do not know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

/// One optimizer step. Percentages are shares of the step's wall time.
struct StepRecord {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  double loss = 0;
  double samples_per_second = 0;
  double learning_rate = 0;
  double gradient_norm = 0;
  double waiting_percent = 0;
  double communication_percent = 0;
  std::optional<double> tokens_per_second = {};  // of tasks that count tokens
  std::optional<double> utilisation = {};        // of the peak rate of arithmetic, 0 to 1 (docs/performance.md)
  std::optional<double> loss_scale = {};         // of --precision fp16
  double elapsed_seconds = 0;  // of training: given to a writer since this process began, in the file over all starts
};

struct ValidationRecord {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  double loss = 0;
  std::optional<double> accuracy = {};                            // 0 to 1, of classifiers and language models
  std::optional<double> perplexity = {};                          // exp(loss), of language models
  std::optional<double> absolute_error = {}, squared_error = {};  // means, of regressions
  double elapsed_seconds = 0;
};

/// Something that happened after `step` steps: "checkpoint", "resume", "skipped", "overflow", "rollback".
struct EventRecord {
  std::int64_t step = 0;
  std::string event = {};
  std::string text = {};
};

/// The last record: whatever the program wants to be remembered, in this order.
using Summary = std::vector<std::pair<std::string, double>>;

/// The JSON line of a record, without its end.
std::string to_json_line(const StepRecord& record);
std::string to_json_line(const ValidationRecord& record);
std::string to_json_line(const EventRecord& record);
std::string to_json_line(const Summary& summary);

/// What metrics.jsonl holds; corrupt_input names the line. A half last line is left out.
struct MetricsHistory {
  std::vector<StepRecord> steps;
  std::vector<ValidationRecord> validations;
  std::vector<EventRecord> events;
};
MetricsHistory read_metrics(const std::string& path);

/// For a run that goes on after `last_step`: removes the records of later steps (they come again), summaries and a half
/// last line. Events "resume" and "rollback" stay: they tell what happened to the run, not what it computed. Damaged
/// lines go too, with a warning that names them. One pass; nothing happens where there is no file.
void trim_metrics(const std::string& path, std::int64_t last_step);

}  // namespace trireme
