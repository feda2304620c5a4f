// A number for each dim of an image: strides, paddings, windows.
#pragma once

#include <cstdint>

namespace trireme::ops {

struct Pair {
  std::int64_t height = 1, width = 1;
};

}  // namespace trireme::ops
