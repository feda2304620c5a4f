// Host memory to stage copies to and from a GPU: the GPU reads and writes it directly, so that a copy in stream order
// does not hold up the host. Making it is slow, so blocks that are given back are kept and handed out again.
#pragma once

#include "core/device/memory.hpp"

namespace trireme {

/// Host memory for copies to and from `device`: pinned for a GPU, ordinary for everything else. Thread-safe. A block
/// must be kept until the copies that use it are done (wait for an Event): one that is given back may be handed out at
/// once.
Allocator& staging_allocator(Device device);

}  // namespace trireme
