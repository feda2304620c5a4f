// How each call of a communicator becomes transfers of NCCL. What NCCL lacks is put together from messages: gather,
// scatter, all_to_all and exchange. Types NCCL does not know move as bytes. Sums of bf16 and f16 are made in f32: every
// rank receives all parts of its share of the elements, adds them in rank order, rounds once and sends the result on.
// That is as many bytes on the wire as NCCL's own sum, which rounds at every rank it passes, and gives all ranks the
// same bits every time.
#pragma once

#include "comm/nccl_channel.hpp"

namespace trireme::nccl {

/// What adds up sums of bf16 and f16.
enum class HalfSums : std::uint8_t {
  f32,   // as on the CPU
  nccl,  // in the type itself, where a network that adds on the way is worth more
};

struct CallPlace {
  int rank = 0;
  int size = 1;
  HalfSums half_sums = HalfSums::f32;
  Allocator* scratch = nullptr;  // memory of the device, used in the order of the stream
};

/// The job of a checked call, without its text and ticket; no stages: nothing to do. Throws Error where the call cannot
/// be made on a GPU (sums of u16).
Job plan(const Call& call, const CallPlace& place);

}  // namespace trireme::nccl
