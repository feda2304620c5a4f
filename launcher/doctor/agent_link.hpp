// The doctor's end of its talk with the agent on one host. Every wait has an end; whatever goes wrong is kept as the
// problem of this host, and later calls do nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/io/descriptor.hpp"
#include "core/io/json.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/frames.hpp"

namespace trireme {

class AgentLink {
 public:
  /// `command` starts the agent: itself on this machine, or ssh.
  AgentLink(std::string host, const std::vector<std::string>& command);
  ~AgentLink();
  AgentLink(AgentLink&&) = default;

  const std::string& host() const { return host_; }
  bool answers() const { return problem_.empty(); }
  /// What ssh, the shell or the agent said; and the exit code of what was started, -1 where it runs.
  const std::string& problem() const { return problem_; }
  int code() const { return code_; }

  void ask(const Json& question);
  /// The answer to the oldest question; nothing after `seconds` or where the agent ended (a problem from then on), or
  /// where it said that there is none (refusal()).
  std::optional<Json> answer(double seconds);
  const std::string& refusal() const { return refusal_; }

 private:
  void read_some(double seconds);
  void take_line(const std::string& line);
  void end(const std::string& problem);

  std::string host_, problem_, refusal_, said_;
  int code_ = -1;
  Descriptor questions_;
  std::unique_ptr<Child> child_;
  LineSplitter lines_;
  std::vector<std::string> answers_;
};

/// What starts the agent on `host`: ssh without a password, with a time limit, and `program` there.
std::vector<std::string> agent_over_ssh(const std::string& host, const std::string& program, double seconds);

}  // namespace trireme
