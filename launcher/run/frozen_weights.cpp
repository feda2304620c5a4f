#include "launcher/run/frozen_weights.hpp"

#include "comm/self_communicator.hpp"
#include "core/device/memory.hpp"

namespace trireme {

FrozenWeights load_frozen_weights(Module& module, const SavedWeights& from, Device device,
                                  const std::function<void(Context&)>& forward) {
  FrozenWeights out;
  out.layout = plan_arena(module, {.freeze = [](const std::string&) { return true; }}, forward);
  out.planes = allocate_planes(out.layout, device, system_allocator(device));
  std::vector<NamedTensor> tensors;
  for (std::size_t k = 0; k < out.layout.entries().size(); ++k) {
    const ArenaEntry& entry = out.layout.entries()[k];
    const Tensor place = out.planes.param.slice(entry.offset, entry.count);
    entry.parameter->bind(place.reshape(entry.parameter->shape()), entry.name, static_cast<int>(k));
    tensors.push_back({"param", entry.name, entry.parameter->shape(), place});
  }
  for (const NamedState& named : states_of(module)) {
    named.state->bind(Tensor::zeros(named.state->shape(), accum_dtype(out.layout.dtype()), device));
    tensors.push_back({"state", named.name, named.state->shape(), named.state->value()});
  }
  SelfCommunicator alone;
  out.taken = load_weights(alone, from, tensors);
  out.planes.param.buffer()->bump_version();
  return out;
}

void add_weights_option(OptionGroup& group, WeightKind& kind) {
  group.add("weights", &kind,
            "which weights of a run with --ema: their running average, by which the run was judged, or those trained",
            {{"averaged", WeightKind::averaged}, {"trained", WeightKind::trained}});
}

}  // namespace trireme
