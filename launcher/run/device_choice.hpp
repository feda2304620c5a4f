// Which device each rank of a job computes on: a GPU of its own where there is one for every rank of every host, else
// the CPU for all. The choice is a pure function of what all ranks see, so all come to the same answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/device/device.hpp"

namespace trireme {

/// --device and --share-gpu.
struct DeviceRequest {
  enum class Kind : std::uint8_t { automatic, cpu, cuda };
  enum class Sharing : std::uint8_t { refused, allowed };
  Kind kind = Kind::automatic;
  std::optional<int> index = std::nullopt;  ///< Of cuda:N: this GPU on every host.
  Sharing sharing = Sharing::refused;       ///< Whether several ranks may compute on one GPU.

  /// auto, cpu, cuda or cuda:N; Error(usage) for anything else.
  static DeviceRequest parse(const std::string& text);
};

/// What one rank sees.
struct RankView {
  std::string host;
  std::vector<std::string> gpus;  ///< Places of the GPUs it may use, by device number.
  std::string reason;             ///< Why there are none.

  /// Of this process; the driver is not opened where nobody asks for a GPU.
  static RankView here(const DeviceRequest& request, const std::string& host);
  /// In one text, to be sent to the other ranks.
  std::string to_text() const;
  static RankView from_text(const std::string& text);
};

struct DeviceChoice {
  std::vector<Device> of_ranks;
  std::string note;  ///< Worth a line where GPUs are not used; empty: nothing to say.
};

/// Ranks that see the same GPUs of a host take them in turn. Error(usage), the same on all ranks, where a GPU was asked
/// for and some rank has none of its own, or where some hosts have enough GPUs and others do not.
DeviceChoice choose_devices(const DeviceRequest& request, const std::vector<RankView>& ranks);

/// The same for a process that is no rank of a job; says on which device it computes.
Device choose_device(const DeviceRequest& request);

}  // namespace trireme
