// Tables of taps for maps along one dim (core/kernels/axis_map.hpp): how padding and resizing of each mode make an
// element of the result. Internal to core/ops.
#pragma once

#include <memory>
#include <vector>

#include "core/device/device.hpp"
#include "core/kernels/axis_map.hpp"
#include "core/ops/image.hpp"

namespace trireme::ops {

/// A table on the host.
struct TapTable {
  std::vector<std::int32_t> start{0}, source;
  std::vector<double> weight;

  void add(std::int64_t from, double by);
  void end_element() { start.push_back(static_cast<std::int32_t>(source.size())); }
  /// The table of the transposed map, onto `from` elements.
  TapTable transposed(std::int64_t from) const;
};

/// One dim of an op.
struct AxisTask {
  enum class Kind : std::uint8_t { pad, resize };
  Kind kind = Kind::pad;
  int mode = 0;  ///< A PadMode, or an Interpolation + 8 for corners on corners.
  std::int64_t from = 0, to = 0, before = 0;

  TapTable table() const;
};

/// Both directions in memory of a device; kept for the next call.
struct DeviceTaps {
  struct Table {
    Tensor start, source, weight;
    kernels::Taps view() const;
  };
  Table forward, backward;
};
std::shared_ptr<DeviceTaps> taps_for(const AxisTask& task, Device device);

}  // namespace trireme::ops
