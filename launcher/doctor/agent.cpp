#include "launcher/doctor/agent.hpp"

#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <memory>

#include "core/base/error.hpp"
#include "core/io/json_object.hpp"
#include "launcher/doctor/clock_skew.hpp"
#include "launcher/doctor/facts.hpp"
#include "launcher/doctor/shared_folder.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

/// Nobody waits for it longer; it must not stay behind where ssh does.
constexpr unsigned most_seconds = 600;
constexpr std::size_t most_ports_asked = 256;

std::vector<std::int64_t> ports_of(const JsonObject& question) {
  std::vector<std::int64_t> out;
  for (const Json& one : question.list("ports")) {
    const bool good = one.is_number_integer() && one >= 1 && one <= 65535 && out.size() < most_ports_asked;
    if (!good) question.refuse("ports", "wanted at most 256 ports");
    out.push_back(one.get<std::int64_t>());
  }
  return out;
}

double seconds_of(const JsonObject& object, const char* key) {
  const Json& value = object.value(key);
  if (!value.is_number()) object.refuse(key, "wanted a number");
  return value.get<double>();
}

Json answer_peer(const JsonObject& question) {
  const PeerAnswer found = ask_peer({.token = question.text("token"),
                                     .names = question.texts("names"),
                                     .ports = ports_of(question),
                                     .seconds = seconds_of(question, "seconds"),
                                     .streams = question.count("streams")});
  return {{"name", found.name},         {"local", found.local},     {"round_trip", found.round_trip},
          {"gigabits", found.gigabits}, {"blocked", found.blocked}, {"why", found.problem}};
}

Json answer_shared(const JsonObject& question) {
  const SharedAnswer found = look_into_shared(question.text("folder"), question.text("token"), question.text("host"),
                                              seconds_of(question, "seconds"));
  return {{"seen_after", found.seen_after}, {"locked", found.locked}, {"why", found.problem}};
}

class Agent {
 public:
  Json answer(const JsonObject& question) {
    const std::string& ask = question.text("ask");
    if (ask == "facts") return to_json(gather_facts(question.texts("folders")));
    if (ask == "time") return {{"nanoseconds", clock_nanoseconds()}};
    if (ask == "peer") return answer_peer(question);
    if (ask == "shared") return answer_shared(question);
    if (ask == "listen") {
      server_ = std::make_unique<PeerServer>(question.text("token"), ports_of(question));
      return {{"open", server_->open()}, {"taken", server_->taken()}};
    }
    question.refuse("ask", "no such question");
  }

 private:
  std::unique_ptr<PeerServer> server_;
};

}  // namespace

int doctor_agent_command(std::span<const std::string>) {
  ::alarm(most_seconds);
  Agent agent;
  for (std::string line; std::getline(std::cin, line);) {
    Json answer;
    try {
      const std::string from = "the doctor";
      const Json question = parse_json(line, from, "a question");
      answer = agent.answer(JsonObject(question, from, ""));
    } catch (const Error& error) {
      answer = {{"problem", error.what()}};
    }
    print_out(agent_mark + answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  return 0;
}

Json to_json(const PeerQuestion& question) {
  return {{"ask", "peer"},           {"token", question.token},     {"names", question.names},
          {"ports", question.ports}, {"seconds", question.seconds}, {"streams", question.streams}};
}

PeerAnswer peer_answer_from_json(const Json& json, const std::string& from) {
  const JsonObject object(json, from, "");
  PeerAnswer out{.name = object.text("name"),
                 .local = object.text("local"),
                 .round_trip = seconds_of(object, "round_trip"),
                 .gigabits = seconds_of(object, "gigabits"),
                 .blocked = {},
                 .problem = object.text("why")};
  for (const Json& port : object.list("blocked")) {
    if (!port.is_number_integer()) object.refuse("blocked", "wanted ports");
    out.blocked.push_back(port.get<std::int64_t>());
  }
  return out;
}

}  // namespace trireme
