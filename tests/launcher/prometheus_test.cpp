// The file for Prometheus: whole at every moment, right to the last value, and the only source of the names that the
// dashboard and the alerts ask for.
#include "launcher/run/prometheus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "launcher/run/metrics.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

/// Names and values of a text in Prometheus' format; every line must be of it.
std::map<std::string, std::string> values_of(const std::string& text) {
  static const std::regex sample(R"re(([a-z_]+)\{run="((?:[^"\\]|\\.)*)"\} (\S+))re");
  static const std::regex comment("# (HELP [a-z_]+ .+|TYPE [a-z_]+ gauge)");
  std::map<std::string, std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_match(line, found, sample)) {
      EXPECT_TRUE(out.emplace(found[1], found[3]).second) << line;
    } else {
      EXPECT_TRUE(std::regex_match(line, comment)) << line;
    }
  }
  return out;
}

TEST(Prometheus, says_what_the_run_says) {
  const TempDir folder;
  const std::string file = folder / "trireme.prom";
  std::filesystem::create_directory(folder / "odd \"run\"");
  const std::string metrics = folder / "odd \"run\"/metrics.jsonl";
  for (int start = 0; start < 2; ++start) {
    MetricsWriter writer({.file = metrics, .total_steps = 100, .prometheus = file, .output = -1});
    if (start > 0) writer.event(7, "resume", "from x");
    writer.step({.step = 7, .epoch = 1, .loss = 0.25, .samples_per_second = 1000, .waiting_percent = 50});
    writer.validation({.step = 7, .epoch = 1, .loss = 0.5, .accuracy = 0.75});
    writer.event(7, "checkpoint", "x");
    writer.step({.step = 8, .epoch = 1, .loss = std::nan("")});
  }
  const auto values = values_of(read_file(file));
  const std::map<std::string, std::string> wanted = {{"trireme_step", "8"},
                                                     {"trireme_steps", "100"},
                                                     {"trireme_loss", "NaN"},
                                                     {"trireme_validation_accuracy_ratio", "0.75"},
                                                     {"trireme_checkpoint_step", "7"},
                                                     {"trireme_resumes", "1"}};
  for (const auto& [name, value] : wanted) EXPECT_EQ(values.at(name), value) << name;
  EXPECT_FALSE(values.contains("trireme_tokens_per_second"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

TEST(Prometheus, a_reader_never_sees_half_of_it) {
  const TempDir folder;
  const std::string file = folder / "trireme.prom";
  std::atomic<bool> done = false;
  std::jthread reader([&] {
    while (!done) {
      if (!std::filesystem::exists(file)) continue;
      EXPECT_TRUE(values_of(read_file(file)).contains("trireme_timestamp_seconds"));
    }
  });
  for (int n = 0; n < 300; ++n) {
    PrometheusFile writer({.file = file, .run = "a"});
    writer.step({.step = n});
  }
  done = true;
}

TEST(Prometheus, a_place_that_cannot_be_written_ends_nothing) {
  PrometheusFile writer({.file = "/nowhere/trireme.prom", .run = "a"});
  writer.step({.step = 1});
  EXPECT_NE(writer.text().find("trireme_step{run=\"a\"} 1\n"), std::string::npos);
}

TEST(Prometheus, dashboard_and_alerts_ask_for_names_that_are_written) {
  const auto written = prometheus_names();
  const std::set<std::string> known(written.begin(), written.end());
  std::set<std::string> asked;
  static const std::regex name("trireme_[a-z_]+");
  const std::string folder = TRIREME_SOURCE_DIR "/cluster/monitoring/";
  const Json dashboard = Json::parse(read_file(folder + "grafana_dashboard.json"));
  std::string queries = read_file(folder + "alerts.yml");
  for (const Json& panel : dashboard["panels"]) {
    for (const Json& target : panel["targets"]) queries += target["expr"].get<std::string>() + "\n";
  }
  for (const Json& variable : dashboard["templating"]["list"]) queries += variable["query"].get<std::string>() + "\n";
  for (std::sregex_iterator at(queries.begin(), queries.end(), name), end; at != end; ++at) {
    asked.insert(at->str());
    EXPECT_TRUE(known.contains(at->str())) << at->str();
  }
  EXPECT_GT(asked.size(), 10u);
}

}  // namespace
}  // namespace trireme
