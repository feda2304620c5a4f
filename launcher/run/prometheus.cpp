#include "launcher/run/prometheus.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "core/base/log.hpp"
#include "core/base/now.hpp"

namespace trireme {
namespace {

struct Metric {
  const char* name;
  const char* help;
};

/// All are gauges: a resumed run goes back to its checkpoint.
constexpr Metric metrics[] = {
    {"trireme_step", "Optimizer steps done."},
    {"trireme_steps", "Optimizer steps of the whole run."},
    {"trireme_epoch", "Passes over the training samples that have begun."},
    {"trireme_loss", "Training loss of the last recorded step."},
    {"trireme_samples_per_second", "Samples of all processes in a second."},
    {"trireme_tokens_per_second", "Tokens of all processes in a second."},
    {"trireme_utilisation_ratio", "Share of the peak rate of arithmetic that is used."},
    {"trireme_learning_rate", "Rate of the last recorded step."},
    {"trireme_gradient_norm", "Global norm of the gradient before clipping."},
    {"trireme_loss_scale", "Factor of the loss under fp16."},
    {"trireme_waiting_ratio", "Share of a step that waits for data."},
    {"trireme_communication_ratio", "Share of a step that waits for communication."},
    {"trireme_elapsed_seconds", "Seconds of training over all starts."},
    {"trireme_validation_loss", "Loss of the last validation."},
    {"trireme_validation_accuracy_ratio", "Accuracy of the last validation."},
    {"trireme_checkpoint_step", "Step of the newest checkpoint."},
    {"trireme_checkpoint_timestamp_seconds", "When the newest checkpoint was written, since 1970."},
    {"trireme_resumes", "How often the run went on from a checkpoint."},
    {"trireme_skipped_steps", "Steps of this start that were passed over: not finite, outliers, overflows."},
    {"trireme_timestamp_seconds", "When this text was written, since 1970."},
};

constexpr double seconds_between_writes = 1;

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string prometheus_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string label(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out;
}

}  // namespace

PrometheusFile::PrometheusFile(PrometheusSettings settings) : settings_(std::move(settings)) {
  set("trireme_steps", static_cast<double>(settings_.total_steps));
  set("trireme_resumes", static_cast<double>(settings_.resumes));
  set("trireme_skipped_steps", 0);
}

PrometheusFile::~PrometheusFile() {
  if (held_back_) write();
}

void PrometheusFile::set(const char* name, double value) { values_[name] = value; }

void PrometheusFile::step(const StepRecord& one) {
  set("trireme_step", static_cast<double>(one.step));
  set("trireme_epoch", static_cast<double>(one.epoch));
  set("trireme_loss", one.loss);
  set("trireme_samples_per_second", one.samples_per_second);
  set("trireme_learning_rate", one.learning_rate);
  set("trireme_gradient_norm", one.gradient_norm);
  set("trireme_waiting_ratio", one.waiting_percent / 100);
  set("trireme_communication_ratio", one.communication_percent / 100);
  set("trireme_elapsed_seconds", one.elapsed_seconds + settings_.elapsed_before);
  if (one.tokens_per_second) set("trireme_tokens_per_second", *one.tokens_per_second);
  if (one.utilisation) set("trireme_utilisation_ratio", *one.utilisation);
  if (one.loss_scale) set("trireme_loss_scale", *one.loss_scale);
  write_soon();
}

void PrometheusFile::validation(const ValidationRecord& one) {
  set("trireme_validation_loss", one.loss);
  if (one.accuracy) set("trireme_validation_accuracy_ratio", *one.accuracy);
  write_soon();
}

void PrometheusFile::event(std::int64_t step, const std::string& name) {
  if (name == "checkpoint") {
    set("trireme_checkpoint_step", static_cast<double>(step));
    set("trireme_checkpoint_timestamp_seconds", unix_seconds());
  } else if (name == "resume") {
    set("trireme_resumes", values_["trireme_resumes"] + 1);
  } else if (name == "skipped" || name == "outlier" || name == "overflow") {
    set("trireme_skipped_steps", values_["trireme_skipped_steps"] + 1);
  } else {
    return;
  }
  write_soon();
}

std::string PrometheusFile::text() const {
  std::string out;
  for (const auto& [name, help] : metrics) {
    const bool now = std::string_view(name) == "trireme_timestamp_seconds";
    const auto value = values_.find(name);
    if (!now && value == values_.end()) continue;
    out += fmt::format("# HELP {} {}\n# TYPE {} gauge\n{}{{run=\"{}\"}} {}\n", name, help, name, name,
                       label(settings_.run), prometheus_number(now ? unix_seconds() : value->second));
  }
  return out;
}

void PrometheusFile::write_soon() {
  held_back_ = true;
  if (steady_seconds() >= next_write_) write();
}

/// Without fsync: after a power cut nobody wants these values.
void PrometheusFile::write() {
  held_back_ = false;
  next_write_ = steady_seconds() + seconds_between_writes;
  // The collector reads files that end in .prom.
  const std::string fresh = fmt::format("{}.{}.new", settings_.file, ::getpid());
  std::ofstream out(fresh);
  out << text();
  out.close();
  const bool good = !out.fail() && std::rename(fresh.c_str(), settings_.file.c_str()) == 0;
  if (!good) std::remove(fresh.c_str());
  if (!good && !complained_) log::warning("--prometheus: cannot write '{}'; the run goes on without", settings_.file);
  complained_ = !good;
}

std::vector<std::string> prometheus_names() {
  std::vector<std::string> out;
  for (const Metric& one : metrics) out.emplace_back(one.name);
  return out;
}

}  // namespace trireme
