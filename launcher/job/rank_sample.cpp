#include "launcher/job/rank_sample.hpp"

#include <fmt/format.h>

#include "comm/collective_log.hpp"

namespace trireme {

RankCall RankCall::of(const ProgressPage::Call& call, std::int64_t now) {
  constexpr auto most_kinds = static_cast<std::uint8_t>(Collective::barrier);
  RankCall out{.communicator = call.communicator, .sequence = call.sequence, .count = call.count};
  out.operation = call.kind <= most_kinds ? name_of(static_cast<Collective>(call.kind)) : "unknown";
  out.dtype = call.kind == most_kinds ? "" : name_of(static_cast<DType>(call.dtype));
  out.seconds = static_cast<double>(now - call.queued) * 1e-9;
  return out;
}

std::string RankCall::text() const {
  const std::string what = dtype.empty() ? "" : fmt::format(" ({} x {})", dtype, count);
  return fmt::format("{} number {} of {}{}", operation, sequence, communicator, what);
}

Json to_json(const RankSample& sample) {
  Json json{{"host", sample.host},           {"state", std::string(1, sample.state)},
            {"attached", sample.attached},   {"phase", sample.phase},
            {"step", sample.step},           {"still", sample.still},
            {"waiting", sample.waiting},     {"comparing", sample.comparing},
            {"waited", sample.waited},       {"lived", sample.lived},
            {"processor", sample.processor}, {"still_processor", sample.still_processor},
            {"calls", sample.calls}};
  if (sample.call) {
    const RankCall& call = *sample.call;
    json["call"] = {{"communicator", call.communicator}, {"operation", call.operation}, {"dtype", call.dtype},
                    {"sequence", call.sequence},         {"count", call.count},         {"seconds", call.seconds}};
  }
  return json;
}

std::string to_text(const RankSample& sample) {
  return to_json(sample).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<RankSample> sample_from_text(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    const std::string state = json.at("state");
    RankSample out{.host = json.at("host"),
                   .state = state.empty() ? '?' : state[0],
                   .attached = json.at("attached"),
                   .phase = json.at("phase"),
                   .step = json.at("step"),
                   .still = json.at("still"),
                   .waiting = json.at("waiting"),
                   .comparing = json.at("comparing"),
                   .waited = json.at("waited"),
                   .lived = json.at("lived"),
                   .processor = json.at("processor"),
                   .still_processor = json.at("still_processor"),
                   .calls = json.at("calls")};
    if (!json.contains("call")) return out;
    const Json& call = json.at("call");
    out.call = RankCall{.communicator = call.at("communicator"),
                        .operation = call.at("operation"),
                        .dtype = call.at("dtype"),
                        .sequence = call.at("sequence"),
                        .count = call.at("count"),
                        .seconds = call.at("seconds")};
    return out;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace trireme
