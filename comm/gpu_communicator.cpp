#include "comm/gpu_communicator.hpp"

#include <utility>

#include "core/base/error.hpp"
#include "core/base/log.hpp"

namespace trireme {

std::string nccl_obstacle(const std::vector<std::string>& reasons, const std::vector<std::string>& hosts) {
  std::size_t without = 0, first = 0;
  for (std::size_t r = reasons.size(); r-- > 0;) {
    if (reasons[r].empty()) continue;
    ++without;
    first = r;
  }
  if (without == 0) return {};
  return fmt::format("{} of {} ranks have no NCCL, first rank {} on host {}: {}", without, reasons.size(), first,
                     hosts.at(first), reasons[first]);
}

std::shared_ptr<Communicator> with_gpu(std::shared_ptr<Communicator> base, const Stream& compute,
                                       const GpuTransport& transport) {
  if (!compute.device().is_cuda()) return base;
  if (transport.way == GpuTransport::Way::mpi) return with_staging(std::move(base), compute, transport.staging);
  if (transport.way == GpuTransport::Way::automatic && base->size() > 1) {
    const auto obstacle = nccl_obstacle(base->all_gather_text(nccl::unavailable_reason()), base->hosts());
    if (!obstacle.empty()) {
      if (base->rank() == 0) log::warning("{}; gradients go through MPI and host memory instead, slower", obstacle);
      return with_staging(std::move(base), compute, transport.staging);
    }
  }
  return with_nccl(std::move(base), compute, transport.nccl);
}

}  // namespace trireme
