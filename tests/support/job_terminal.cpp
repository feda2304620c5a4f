#include "tests/support/job_terminal.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "launcher/job/captured.hpp"
#include "launcher/job/child.hpp"

namespace trireme {

JobTerminal::~JobTerminal() {
  for (const std::string& job : jobs_) {
    for (int tries = 0; tries < 100; ++tries) {
      const Said asked = call({"cancel", job});
      if (asked.code != 0) break;
      sleep_a_little();
    }
  }
}

Said JobTerminal::run(const std::vector<std::string>& words) const {
  std::vector<std::string> command = prefix_;
  command.insert(command.end(), {"env", "XDG_STATE_HOME=" + home_});
  command.insert(command.end(), variables_.begin(), variables_.end());
  command.insert(command.end(), words.begin(), words.end());
  const Captured done = captured(command, 120);
  return {done.code, done.output + done.error};
}

Said JobTerminal::call(const std::vector<std::string>& words) const {
  std::vector<std::string> command = {std::string(TRIREME_BINARY_DIR) + "/launcher/trireme"};
  command.insert(command.end(), words.begin(), words.end());
  return run(command);
}

std::string JobTerminal::submit(const std::string& ini) {
  const std::string file = home_ + "/job-" + std::to_string(++files_) + ".ini";
  std::ofstream(file) << ini;
  const Said done = call({"submit", file});
  EXPECT_EQ(done.code, 0) << done.text;
  const std::size_t at = done.text.find("job ");
  if (at == std::string::npos) return "0";
  jobs_.push_back(done.text.substr(at + 4, done.text.find_first_not_of("0123456789", at + 4) - at - 4));
  return jobs_.back();
}

Json JobTerminal::status(const std::string& job) const {
  const Said done = call({"status", job, "--json"});
  EXPECT_EQ(done.code, 0) << done.text;
  return Json::parse(done.text.substr(done.text.find('{')));
}

Json JobTerminal::wait_for(const std::string& job, const std::string& phase, double seconds) const {
  const Json seen =
      wait(job, seconds, [&](const Json& now) { return now["phase"] == phase || is_final_phase(now["phase"]); });
  const Said log = call({"logs", job});
  EXPECT_EQ(seen["phase"], phase) << seen.dump(1) << "\n" << log.text;
  return seen;
}

bool is_final_phase(const std::string& phase) { return phase == "done" || phase == "failed" || phase == "cancelled"; }

void sleep_a_little() { ::usleep(100000); }

}  // namespace trireme
