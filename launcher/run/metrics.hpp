// What a run tells: one refreshed line on a terminal or plain lines elsewhere, and metrics.jsonl (metrics_records.hpp),
// one JSON object per line, each written whole. One process of a job owns the writer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "launcher/run/metrics_records.hpp"

namespace trireme {

class PrometheusFile;

struct MetricsSettings {
  std::string file = {};              // metrics.jsonl; empty: none
  std::int64_t first_step = 0;        // resumed at: later records of an interrupted run are removed from the file
  double elapsed_before = 0;          // seconds of earlier starts, part of elapsed_seconds in the file
  std::int64_t total_steps = 0;       // for the time to go; 0: unknown
  std::string prometheus = {};        // a text for Prometheus (prometheus.hpp); empty: none
  double line_interval_seconds = 10;  // between plain lines where there is no terminal
  int terminal_columns = 0;           // 0: plain lines
  int output = 1;                     // descriptor of the lines
};

class MetricsWriter {
 public:
  /// Opens the file to append (storage errors), cut to what a run resumed at `first_step` keeps (trim_metrics).
  explicit MetricsWriter(MetricsSettings settings);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  // A record that cannot be written does not end a run: it waits in memory for the next try, with a warning a minute
  // that says how many do. Only where megabytes wait are records lost, which the warning counts too.
  void step(const StepRecord& record);
  void validation(const ValidationRecord& record);
  void summary(const Summary& summary);
  /// For the file alone; `name` is one of those of EventRecord.
  void event(std::int64_t step, const std::string& name, const std::string& text);
  /// A line of the program that must not mix with the refreshed one.
  void line(std::string_view text);

  /// When it returns, all records so far are on the disk; storage errors. Before a checkpoint counts, its steps must.
  void sync();

 private:
  void record(const std::string& json);
  void write_waiting();
  void warn(const std::string& problem);
  void print(const std::string& text);

  MetricsSettings settings_;
  std::unique_ptr<PrometheusFile> prometheus_;
  int file_ = -1;
  std::int64_t size_ = 0;  // of the file's whole lines
  std::string waiting_;    // lines not yet written
  std::int64_t waiting_records_ = 0, lost_ = 0;
  double next_try_ = 0, next_warning_ = 0;
  double next_line_ = 0;
  bool status_shown_ = false, failing_ = false;
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

}  // namespace trireme
