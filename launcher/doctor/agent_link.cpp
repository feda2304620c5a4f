#include "launcher/doctor/agent_link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "core/io/json_object.hpp"
#include "launcher/doctor/agent.hpp"
#include "launcher/doctor/sockets.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_said = std::size_t{1} << 20;

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of("\r\n ");
  if (end == std::string::npos) return "";
  const std::size_t begin = text.find_last_of('\n', end);
  std::string line =
      text.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1) + 1);
  return line.substr(0, 500);
}

}  // namespace

AgentLink::AgentLink(std::string host, const std::vector<std::string>& command) : host_(std::move(host)) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    problem_ = "cannot open a pair of sockets";
    return;
  }
  questions_ = Descriptor(ends[0]);
  const Descriptor other(ends[1]);
  try {
    child_ = std::make_unique<Child>(
        ChildSettings{.command = command, .group = ChildGroup::own, .death_signal = SIGKILL, .input = other.get()});
  } catch (const Error& error) {
    problem_ = error.what();
    return;
  }
  for (const int pipe : {child_->output(), child_->error()}) ::fcntl(pipe, F_SETFL, O_NONBLOCK);
}

AgentLink::~AgentLink() {
  if (!child_) return;
  questions_.close();
  const double end = steady_now() + 0.5;
  while (child_->poll_status() == -1 && steady_now() < end) ::usleep(2000);
  if (child_->poll_status() != -1) return;
  ::kill(-child_->id(), SIGKILL);
  while (child_->poll_status() == -1) ::usleep(1000);
}

void AgentLink::ask(const Json& question) {
  if (!answers()) return;
  const std::string line = question.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // A closed door shows at the answer.
  send_all(questions_, line);
}

void AgentLink::end(const std::string& problem) {
  if (child_->poll_status() == -1) ::kill(-child_->id(), SIGKILL);
  while (child_->poll_status() == -1) ::usleep(1000);
  problem_ = problem.empty() ? "it ended without a word" : problem;
}

void AgentLink::take_line(const std::string& line) {
  if (line.starts_with(agent_mark)) answers_.push_back(line.substr(std::string(agent_mark).size()));
}

void AgentLink::read_some(double seconds) {
  pollfd waits[] = {{child_->output(), POLLIN, 0}, {child_->error(), POLLIN, 0}};
  ::poll(waits, 2, static_cast<int>(std::clamp(seconds, 0.0, 0.1) * 1000) + 1);
  char bytes[1 << 14];
  for (const pollfd& one : waits) {
    if (one.revents == 0) continue;
    const ssize_t got = ::read(one.fd, bytes, sizeof bytes);
    const bool output = one.fd == child_->output();
    if (got == 0) child_->close_pipe(one.fd);
    if (got <= 0) continue;
    const std::string_view text(bytes, static_cast<std::size_t>(got));
    if (!output && said_.size() < most_said) said_ += text;
    if (!output) continue;
    for (const std::string& line : lines_.feed(text)) take_line(line);
  }
}

std::optional<Json> AgentLink::answer(double seconds) {
  refusal_.clear();
  if (!answers()) return std::nullopt;
  const double end_time = steady_now() + seconds;
  while (answers_.empty()) {
    const double left = end_time - steady_now();
    if (left <= 0) {
      end(fmt::format("no answer within {:.0f} s", std::ceil(seconds)));
      return std::nullopt;
    }
    if (child_->output() < 0 && child_->poll_status() != -1) {
      const int status = child_->poll_status();
      code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      end(last_line(said_));
      return std::nullopt;
    }
    if (child_->output() < 0) ::usleep(5000);
    read_some(left);
  }
  const std::string text = answers_.front();
  answers_.erase(answers_.begin());
  try {
    Json json = parse_json(text, host_, "an answer");
    if (!json.contains("problem") || !json["problem"].is_string()) return json;
    refusal_ = json["problem"];
  } catch (const Error& error) {
    refusal_ = error.what();
  }
  return std::nullopt;
}

std::vector<std::string> agent_over_ssh(const std::string& host, const std::string& program, double seconds) {
  return {"ssh", "-T",
          "-o",  "BatchMode=yes",
          "-o",  fmt::format("ConnectTimeout={:.0f}", std::ceil(seconds)),
          "-o",  "ServerAliveInterval=5",
          "-o",  "ServerAliveCountMax=2",
          host,  shell_quoted({program, "doctor-agent"})};
}

}  // namespace trireme
