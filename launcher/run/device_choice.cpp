#include "launcher/run/device_choice.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/device/gpu_list.hpp"

namespace trireme {
namespace {

using Kind = DeviceRequest::Kind;
using Sharing = DeviceRequest::Sharing;

constexpr char separator = '\n';

/// A rank's place among those of its host that see the same GPUs.
struct DevicePlace {
  int turn = 0, rivals = 0;
};

std::vector<DevicePlace> places_of(const std::vector<RankView>& ranks) {
  std::map<std::pair<std::string, std::vector<std::string>>, int> seen;
  std::vector<DevicePlace> out;
  for (const RankView& one : ranks) out.push_back({.turn = seen[{one.host, one.gpus}]++});
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) out[rank].rivals = seen[{ranks[rank].host, ranks[rank].gpus}];
  return out;
}

/// Why `rank` cannot have a GPU; empty where it can.
std::string shortage(const DeviceRequest& request, const std::vector<RankView>& ranks, std::size_t rank, int rivals) {
  const RankView& view = ranks[rank];
  const int gpus = narrow<int>(view.gpus.size());
  if (gpus == 0) return fmt::format("rank {} on {} has none ({})", rank, view.host, view.reason);
  if (request.index && *request.index >= gpus)
    return fmt::format("rank {} on {} sees {} GPU{}, from cuda:0 on", rank, view.host, gpus, gpus == 1 ? "" : "s");
  const int wanted = request.index ? 1 : gpus;
  if (request.sharing == Sharing::allowed || rivals <= wanted) return "";
  return fmt::format("there are {} ranks on {} for {} GPU{}", rivals, view.host, wanted, wanted == 1 ? "" : "s");
}

DeviceChoice all_on_cpu(std::size_t ranks, std::string note) {
  return {std::vector<Device>(ranks, Device::cpu()), std::move(note)};
}

/// Lists of GPUs that overlap without being the same hide that two ranks mean one GPU.
void check_apart(const std::vector<RankView>& ranks, const std::vector<Device>& devices) {
  std::map<std::pair<std::string, std::string>, std::size_t> taken;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string& gpu = ranks[rank].gpus[to_size(devices[rank].index)];
    const auto [at, fresh] = taken.try_emplace({ranks[rank].host, gpu}, rank);
    if (!fresh)
      fail(ExitCode::usage,
           "ranks {} and {} on {} would both compute on the GPU {}: show each rank other GPUs (CUDA_VISIBLE_DEVICES), "
           "or "
           "let them share one with --share-gpu",
           at->second, rank, ranks[rank].host, gpu);
  }
}

DeviceChoice all_on_gpus(const DeviceRequest& request, const std::vector<RankView>& ranks,
                         const std::vector<DevicePlace>& places) {
  DeviceChoice out;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const int gpus = narrow<int>(ranks[rank].gpus.size());
    out.of_ranks.push_back(Device::cuda(request.index.value_or(places[rank].turn % gpus)));
  }
  if (request.sharing == Sharing::refused) check_apart(ranks, out.of_ranks);
  return out;
}

}  // namespace

DeviceRequest DeviceRequest::parse(const std::string& text) {
  if (text == "auto") return {};
  if (text == "cpu") return {.kind = Kind::cpu};
  if (text == "cuda") return {.kind = Kind::cuda};
  constexpr std::string_view prefix = "cuda:";
  if (text.starts_with(prefix)) {
    int index = -1;
    const char* const end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data() + prefix.size(), end, index);
    if (error == std::errc() && last == end && index >= 0) return {.kind = Kind::cuda, .index = index};
  }
  fail(ExitCode::usage, "--device {}: use auto, cpu, cuda or the number of a GPU, as in cuda:0", text);
}

RankView RankView::here(const DeviceRequest& request, const std::string& host) {
  RankView out{.host = host, .gpus = {}, .reason = "not asked for"};
  if (request.kind == Kind::cpu) return out;
  for (const GpuFacts& gpu : gpus_of_process()) out.gpus.push_back(gpu.place);
  out.reason = cuda_unavailable_reason();
  return out;
}

std::string RankView::to_text() const {
  std::string out = host + separator + reason;
  for (const std::string& gpu : gpus) out += separator + gpu;
  return out;
}

RankView RankView::from_text(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  require(lines.size() >= 2, "what a rank sees was sent as '{}': host and reason are missing", text);
  return {.host = lines[0], .gpus = {lines.begin() + 2, lines.end()}, .reason = lines[1]};
}

DeviceChoice choose_devices(const DeviceRequest& request, const std::vector<RankView>& ranks) {
  if (request.kind == Kind::cpu) return all_on_cpu(ranks.size(), "");
  const std::vector<DevicePlace> places = places_of(ranks);
  std::string first_short;
  std::size_t with = ranks.size(), shorts = 0;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string text = shortage(request, ranks, rank, places[rank].rivals);
    if (text.empty()) {
      with = std::min(with, rank);
    } else {
      if (first_short.empty()) first_short = text;
      ++shorts;
    }
  }
  if (shorts == 0) return all_on_gpus(request, ranks, places);
  if (request.kind == Kind::cuda)
    fail(ExitCode::usage,
         "--device cuda{}: {}. Start one rank for each GPU, let ranks share one with --share-gpu, or use --device cpu",
         request.index ? fmt::format(":{}", *request.index) : "", first_short);
  if (shorts < ranks.size())
    fail(
        ExitCode::usage,
        "--device auto: rank {} on {} has a GPU of its own, but {}. All ranks must compute on the same kind of device: "
        "use hosts that are alike, or --device cpu",
        with, ranks[with].host, first_short);
  const bool some = std::ranges::any_of(ranks, [](const RankView& one) { return !one.gpus.empty(); });
  return all_on_cpu(ranks.size(),
                    some ? fmt::format("too few GPUs, using CPU: {} (--share-gpu lets ranks share one)", first_short)
                         : fmt::format("no GPU: using CPU ({})", ranks.front().reason));
}

Device choose_device(const DeviceRequest& request) {
  const DeviceChoice choice = choose_devices(request, {RankView::here(request, "this host")});
  if (!choice.note.empty()) log::info("{}", choice.note);
  return choice.of_ranks.front();
}

}  // namespace trireme
