#include "comm/call_signature.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "comm/agreement.hpp"

namespace trireme {
namespace {

constexpr std::string_view reduction_names[] = {"sum", "max", "min"};

bool is_rooted(Collective kind) {
  return kind == Collective::broadcast || kind == Collective::reduce || kind == Collective::gather ||
         kind == Collective::scatter;
}

/// The side that every rank has: one whole buffer is the root's alone in rooted calls.
const Tensor& common_side(const Call& call) {
  const bool out = call.kind == Collective::scatter || call.kind == Collective::reduce_scatter;
  return out ? call.out : call.in;
}

}  // namespace

CallSignature CallSignature::of(const Call& call, std::uint64_t sequence) {
  CallSignature out{.sequence = sequence, .kind = static_cast<std::uint8_t>(call.kind)};
  const Tensor& side = common_side(call);
  if (side) {
    out.count = side.elements();
    out.dtype = static_cast<std::uint8_t>(side.dtype());
    out.on_gpu = side.device().is_cuda() ? 1 : 0;
  }
  if (is_rooted(call.kind)) out.root = call.peer;
  if (reduces(call.kind)) out.reduction = static_cast<std::uint8_t>(call.reduction);
  return out;
}

void CallSignature::write(std::span<std::uint8_t> to) const {
  static_assert(sizeof(CallSignature) <= bytes);
  std::memcpy(to.data(), this, sizeof *this);
}

CallSignature CallSignature::read(std::span<const std::uint8_t> from) {
  CallSignature out;
  std::memcpy(&out, from.data(), sizeof out);
  return out;
}

std::string CallSignature::text() const {
  const auto what = static_cast<Collective>(kind);
  std::string out = fmt::format("{} number {}", name_of(what), sequence);
  if (what == Collective::barrier) return out;
  out += fmt::format(" ({} x {}", name_of(static_cast<DType>(dtype)), count);
  if (reduces(what) && reduction < std::size(reduction_names)) out += fmt::format(", {}", reduction_names[reduction]);
  if (root >= 0) out += fmt::format(", root {}", root);
  return out + (on_gpu != 0 ? ", on a GPU)" : ")");
}

bool CallSignature::same_call(const CallSignature& other) const {
  return kind == other.kind && count == other.count && dtype == other.dtype && root == other.root &&
         reduction == other.reduction && on_gpu == other.on_gpu;
}

std::string call_difference(std::span<const std::uint8_t> all, const std::vector<std::string>& hosts) {
  constexpr std::size_t most_listed = 5;
  struct Group {
    CallSignature call;
    std::vector<int> ranks;
  };
  std::vector<Group> groups;
  for (std::size_t r = 0; r < hosts.size(); ++r) {
    const auto call = CallSignature::read(all.subspan(r * CallSignature::bytes, CallSignature::bytes));
    const auto known = std::ranges::find_if(groups, [&](const Group& one) { return one.call.same_call(call); });
    if (known == groups.end()) {
      groups.push_back({call, {static_cast<int>(r)}});
    } else {
      known->ranks.push_back(static_cast<int>(r));
    }
  }
  if (groups.size() < 2) return {};
  std::string out;
  for (std::size_t k = 0; k < std::min(groups.size(), most_listed); ++k) {
    const auto& [call, ranks] = groups[k];
    const std::string& host = hosts[static_cast<std::size_t>(ranks.front())];
    out += fmt::format("{}{}{}: {}", k == 0 ? "" : "; ", rank_list(ranks),
                       ranks.size() == 1 ? " on " + host : fmt::format(" (the first on {})", host), call.text());
  }
  if (groups.size() > most_listed) out += fmt::format("; and {} other calls", groups.size() - most_listed);
  return out;
}

}  // namespace trireme
