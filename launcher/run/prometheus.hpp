// How a run stands as a text for Prometheus' node exporter (its textfile collector): replaced by rename, so that a
// reader never sees half of it. Nothing that goes wrong with it ends a training.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "launcher/run/metrics_records.hpp"

namespace trireme {

struct PrometheusSettings {
  std::string file = {};  // "/var/lib/node_exporter/trireme.prom"
  std::string run = {};   // the label of all values
  std::int64_t total_steps = 0;
  double elapsed_before = 0;  // seconds of earlier starts
  std::int64_t resumes = 0;   // of earlier starts
};

class PrometheusFile {
 public:
  explicit PrometheusFile(PrometheusSettings settings);
  /// Writes what was held back.
  ~PrometheusFile();
  PrometheusFile(const PrometheusFile&) = delete;
  PrometheusFile& operator=(const PrometheusFile&) = delete;

  void step(const StepRecord& record);
  void validation(const ValidationRecord& record);
  void event(std::int64_t step, const std::string& name);

  /// The values so far, as they are or will be written.
  std::string text() const;

 private:
  void set(const char* name, double value);
  void write_soon();
  void write();

  PrometheusSettings settings_;
  std::map<std::string, double> values_;
  double next_write_ = 0;
  bool held_back_ = false, complained_ = false;
};

/// Every name that such a file may have.
std::vector<std::string> prometheus_names();

}  // namespace trireme
