// What a run tells: one refreshed line on a terminal or plain lines elsewhere, and metrics.jsonl, one JSON object per
// line, each written whole. One process of a job owns the writer. Floats in the file read back bit for bit; values that
// are not finite are the texts "nan", "inf", "-inf". The fields of each record are listed in docs/launching.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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
  double elapsed_seconds = 0;  // since training began in this process
};

struct ValidationRecord {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  double loss = 0;
  double accuracy = 0;  // 0 to 1
  double elapsed_seconds = 0;
};

/// The last record: whatever the program wants to be remembered, in this order.
using Summary = std::vector<std::pair<std::string, double>>;

struct MetricsSettings {
  std::string file = {};              // metrics.jsonl; empty: none
  std::int64_t first_step = 0;        // resumed at: later records of an interrupted run are removed from the file
  std::int64_t total_steps = 0;       // for the time to go; 0: unknown
  double line_interval_seconds = 10;  // between plain lines where there is no terminal
  int terminal_columns = 0;           // 0: plain lines
  int output = 1;                     // descriptor of the lines
};

class MetricsWriter {
 public:
  /// Opens the file to append (storage errors); a half line left by a power cut is removed.
  explicit MetricsWriter(MetricsSettings settings);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  void step(const StepRecord& record);
  void validation(const ValidationRecord& record);
  void summary(const Summary& summary);
  /// A line of the program that must not mix with the refreshed one.
  void line(std::string_view text);

 private:
  void record(const std::string& json);
  void print(const std::string& text);

  MetricsSettings settings_;
  int file_ = -1;
  double next_line_ = 0;
  bool status_shown_ = false;
};

/// Columns of the terminal that shows `output`, 0 where none does. Under the launcher the terminal is the launcher's.
int terminal_columns(int output);

/// Seconds to go from what `done` of `total` steps took; negative: unknown.
double eta_seconds(std::int64_t done, std::int64_t total, double elapsed_seconds);
/// "0:07", "12:34", "1:02:03", "3d 04h"; "-" for unknown (negative or not finite).
std::string format_duration(double seconds);
/// Four significant digits with k, M, G: "812.3", "12.35k".
std::string format_rate(double per_second);
/// The one line about a step, without its end; `total_steps` 0: unknown.
std::string format_step(const StepRecord& record, std::int64_t first_step, std::int64_t total_steps);

/// The JSON line of a record, without its end.
std::string to_json_line(const StepRecord& record);
std::string to_json_line(const ValidationRecord& record);
std::string to_json_line(const Summary& summary);

/// What metrics.jsonl holds; corrupt_input names the line. A half last line is left out.
struct MetricsHistory {
  std::vector<StepRecord> steps;
  std::vector<ValidationRecord> validations;
};
MetricsHistory read_metrics(const std::string& path);

}  // namespace trireme
