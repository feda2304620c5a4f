// What a run of the training probe did, for comparing runs.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/io/json.hpp"

namespace trireme {

struct Outcome {
  std::vector<double> losses, norms, test;
  std::map<std::string, std::vector<double>> weights;
};

/// Starts `command`, which must end with 0 and leave the probe's JSON at `out`; its text goes to out + ".log".
inline Outcome outcome_of(const std::string& command, const std::string& out) {
  const int status = std::system((command + " >" + out + ".log 2>&1").c_str());
  std::ifstream text(out + ".log");
  EXPECT_EQ(status, 0) << command << "\n" << std::string(std::istreambuf_iterator<char>(text), {});
  std::ifstream file(out);
  if (!file) return {};
  const Json json = Json::parse(file);
  return {json["losses"], json["norms"], json["test"], json["weights"]};
}

/// |a - b| / |a|
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t k = 0; k < a.size() && k < b.size(); ++k) {
    difference += (a[k] - b[k]) * (a[k] - b[k]);
    size += a[k] * a[k];
  }
  return a.size() == b.size() ? std::sqrt(difference / (size > 0 ? size : 1)) : INFINITY;
}

}  // namespace trireme
