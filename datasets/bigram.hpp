// A baseline for language models: the loss of the best table that knows one token back.
#pragma once

#include "datasets/sample_source.hpp"

namespace trireme {

/// Mean loss per token (nats) over the labels of `held_out`, where p(b | a) = (count(a b) + m p(b)) / (count(a) + m)
/// with the counts of `train` and p(b) = (count(b) + 1) / (tokens + V): a Dirichlet prior after MacKay and Peto 1995. m
/// is the best of 1, 3, 10, ..., 3000 for `held_out` itself, which favours the table. Both are sources of token
/// windows.
double bigram_loss(const Samples& train, const Samples& held_out, std::int64_t vocabulary);

}  // namespace trireme
