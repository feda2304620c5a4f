#include "core/nn/arena.hpp"

#include <algorithm>
#include <unordered_map>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "core/kernels/parallel.hpp"
#include "core/tape/write.hpp"
#include "core/tensor/convert.hpp"

namespace trireme {

std::int64_t ArenaLayout::parameters() const {
  std::int64_t total = 0;
  for (const ArenaEntry& entry : entries_) total += entry.count;
  return total;
}

/// Collects names, binds to meta, and places entries.
struct LayoutBuilder {
  std::vector<ArenaEntry> entries;
  std::unordered_map<const Parameter*, std::size_t> at;
  std::vector<std::size_t> order;
  std::vector<char> placed;

  explicit LayoutBuilder(Module& module) {
    for (const NamedParameter& named : parameters_of(module)) {
      const auto [found, fresh] = at.try_emplace(named.parameter, entries.size());
      if (!fresh) {
        entries[found->second].aliases.push_back(named.name);
        continue;
      }
      entries.push_back({.name = named.name,
                         .aliases = {},
                         .unit = named.name.substr(0, named.name.find('.')),
                         .offset = 0,
                         .count = named.parameter->shape().elements(),
                         .parameter = named.parameter});
    }
    placed.assign(entries.size(), 0);
  }

  void use(const Parameter* parameter) {
    const auto found = at.find(parameter);
    require(found != at.end(), "a parameter {} is used by forward but not named by parts() of its module",
            parameter->shape());
    if (!placed[found->second]) order.push_back(found->second);
    placed[found->second] = 1;
  }

  ArenaLayout build(const ArenaOptions& options) {
    for (std::size_t k = 0; k < entries.size(); ++k)
      if (!placed[k]) order.push_back(k);
    std::stable_partition(order.begin(), order.end(),
                          [&](std::size_t k) { return entries[k].parameter->training() == Training::trained; });
    ArenaLayout layout;
    layout.dtype_ = options.dtype;
    layout.gradient_dtype_ = options.gradient_dtype.value_or(layout.wide_dtype());
    require(layout.gradient_dtype_ == layout.dtype_ || layout.gradient_dtype_ == layout.wide_dtype(),
            "gradients of {} for parameters of {}: they can be {} or {}", name_of(layout.gradient_dtype_),
            name_of(layout.dtype_), name_of(layout.dtype_), name_of(layout.wide_dtype()));
    const std::int64_t pad = 128 / static_cast<std::int64_t>(size_of(options.dtype)) * options.shards;
    for (const std::size_t k : order) {
      ArenaEntry& entry = entries[k];
      entry.offset = layout.elements_;
      layout.elements_ = checked_add(layout.elements_, round_up(entry.count, pad));
      if (entry.parameter->training() == Training::trained) {
        ++layout.trained_;
        layout.trained_elements_ = layout.elements_;
      }
      layout.entries_.push_back(std::move(entry));
    }
    return layout;
  }
};

ArenaLayout plan_arena(Module& module, const ArenaOptions& options, const std::function<void(Context&)>& forward) {
  require(options.shards >= 1, "planning an arena for {} shards: at least 1 is needed", options.shards);
  const Stream stream(Device::meta());
  Context context(stream, system_allocator(Device::meta()));
  context.begin_training({});
  std::vector<const Parameter*> uses;
  context.on_use([&](Parameter& parameter) {
    parameter.bind(Tensor::empty(parameter.shape(), options.dtype, Device::meta()), "", -1);
    uses.push_back(&parameter);
  });
  for (const NamedState& named : states_of(module))
    named.state->bind(Tensor::empty(named.state->shape(), accum_dtype(options.dtype), Device::meta()));
  forward(context);
  if (options.freeze)
    for (const NamedParameter& named : parameters_of(module))
      if (options.freeze(named.name)) named.parameter->set_training(Training::frozen);
  LayoutBuilder builder(module);  // only now: layers may have learnt their shapes in this pass
  for (const Parameter* parameter : uses) builder.use(parameter);
  return builder.build(options);
}

Planes allocate_planes(const ArenaLayout& layout, Device device, Allocator& gradient_memory) {
  Planes planes;
  planes.param = Tensor::zeros({layout.elements()}, layout.dtype(), device);
  if (is_half(layout.dtype())) planes.master = Tensor::zeros({layout.elements()}, layout.wide_dtype(), device);
  const auto bytes = to_size(layout.trained_elements()) * size_of(layout.gradient_dtype());
  planes.grad = Tensor(gradient_memory.allocate(bytes), 0, {layout.trained_elements()}, layout.gradient_dtype());
  planes.grad.fill_zero();
  return planes;
}

void draw(const ArenaEntry& entry, std::uint64_t seed, std::int64_t first, std::span<double> out) {
  const Initializer& how = entry.parameter->initializer();
  if (how.kind == Initializer::Kind::constant) {
    std::fill(out.begin(), out.end(), how.scale);
    return;
  }
  const std::uint64_t key = random_key(entry.name, seed);
  for (std::size_t k = 0; k < out.size(); ++k) {
    const auto i = static_cast<std::uint64_t>(first) + k;
    const auto bits = philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 0, 0},
                             {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    out[k] = how.scale *
             (how.kind == Initializer::Kind::normal ? normal_from(bits) : 2 * uniform_from(bits[0], bits[1]) - 1);
  }
}

namespace {

void draw_into(const ArenaEntry& entry, std::uint64_t seed, const Tensor& host) {
  with_wide_floating(host.dtype(), "materialize", [&](auto zero) {
    using T = decltype(zero);
    T* to = host.data<T>();
    parallel_ranges(entry.count, 4096, [&](std::int64_t first, std::int64_t last) {
      double block[512];
      for (std::int64_t i = first; i < last; i += 512) {
        const std::size_t n = to_size(std::min<std::int64_t>(512, last - i));
        draw(entry, seed, i, {block, n});
        for (std::size_t k = 0; k < n; ++k) to[i + static_cast<std::int64_t>(k)] = static_cast<T>(block[k]);
      }
    });
  });
}

/// The same elements in another type, on the host.
Tensor converted(const Tensor& host, DType dtype) {
  if (host.dtype() == dtype) return host;
  Tensor out = Tensor::empty(host.shape(), dtype);
  convert_elements(host.dtype(), {static_cast<const std::byte*>(host.raw()), host.bytes()}, dtype,
                   {static_cast<std::byte*>(out.raw()), out.bytes()});
  return out;
}

}  // namespace

void materialize(Module& module, const ArenaLayout& layout, const Planes& planes, std::uint64_t seed) {
  const std::vector<ArenaEntry>& entries = layout.entries();
  for (std::size_t k = 0; k < entries.size(); ++k) {
    const ArenaEntry& entry = entries[k];
    const Tensor place = planes.param.slice(entry.offset, entry.count);
    const Tensor host = Tensor::empty({entry.count}, layout.wide_dtype());
    draw_into(entry, seed, host);
    if (planes.master) planes.master.slice(entry.offset, entry.count).copy_from(host);
    place.copy_from(converted(host, layout.dtype()));
    entry.parameter->bind(place.reshape(entry.parameter->shape()), entry.name, static_cast<int>(k));
  }
  for (const NamedState& named : states_of(module)) {
    const Tensor host = Tensor::empty(named.state->shape(), layout.wide_dtype());
    with_wide_floating(host.dtype(), "materialize", [&](auto zero) {
      for (auto& element : host.span<decltype(zero)>()) element = static_cast<decltype(zero)>(named.state->initial());
    });
    named.state->bind(host.clone(planes.param.device()));
  }
}

void round_masters(const Stream& stream, const Planes& planes) {
  if (planes.master) write(stream, {planes.master}, {planes.param, Write::overwrite});
}

PlaneGradients::PlaneGradients(const ArenaLayout& layout, Tensor grad)
    : layout_(&layout), grad_(std::move(grad)), touched_(layout.trained(), 0) {}

void PlaneGradients::begin() { std::fill(touched_.begin(), touched_.end(), char{0}); }

Destination PlaneGradients::acquire(Parameter& parameter) {
  const auto entry = static_cast<std::size_t>(parameter.index());
  const Write mode = touched_.at(entry) ? Write::accumulate : Write::overwrite;
  touched_[entry] = 1;
  return {gradient(entry), mode};
}

void PlaneGradients::finish() {
  for (std::size_t k = 0; k < touched_.size(); ++k)
    if (!touched_[k]) gradient(k).fill_zero();
}

Tensor PlaneGradients::gradient(std::size_t entry) const {
  const ArenaEntry& e = layout_->entries().at(entry);
  return grad_.slice(e.offset, e.count).reshape(e.parameter->shape());
}

}  // namespace trireme
