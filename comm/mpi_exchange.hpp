// Large all_reduces over MPI messages of our own: every rank sums one block of the elements and sends the sum to all.
// Rank r receives the others' parts of block r, adds all parts in rank order and sends the result, piece by piece, so
// that both directions of every link and the adding are busy at once (MPI's own all_reduce was seen to send there and
// back in turns). The sum of an element is made on one rank only, in a fixed order: all ranks hold the same bits, and
// the same run gives them again. Everything here happens on the communication thread.
#pragma once

#define OMPI_SKIP_MPICXX 1  // the C++ bindings of MPI 2 are not used
#include <mpi.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace trireme {

/// Throws Error(peer_lost) with the name of the MPI call that failed and `what` it was part of.
void must_succeed(int code, const char* call, const std::string& what);

/// Where the pieces of one communicator travel.
struct ExchangeChannel {
  MPI_Comm comm = MPI_COMM_NULL;  // used for nothing else, so that no other message can be taken for a piece
  int rank = 0;
  int size = 1;
  int operations = 0;  // started so far, modulo what the tags can tell apart: the same on all ranks
  std::vector<std::vector<std::byte>> spare = {};  // memory for arriving pieces, kept for the next operation
};

class ExchangeAllReduce {
 public:
  /// From this size of a block on the pieces win over MPI's own algorithms, which need fewer messages.
  static constexpr std::size_t least_block_bytes = 32 * 1024;
  static constexpr std::size_t piece_bytes = 256 * 1024;
  /// Pieces on their way at a time, from and to each rank.
  static constexpr int window = 4;

  static bool is_worth_it(const Call& call, int ranks);

  /// `call` is an all_reduce of any type and reduction; `in` and `out` are the same memory or do not overlap.
  ExchangeAllReduce(Call call, std::shared_ptr<ExchangeChannel> channel, std::string what);
  void start();
  /// Does all that can be done without blocking; true once everything is done.
  bool poll();

 private:
  enum class Phase : int { scatter, gather };
  struct Range {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  struct Round {
    int scatters = 0;  // requests still open
    int gathers = 0;
  };
  struct Owner {
    int round = 0;
    Phase phase = Phase::scatter;
  };

  void advance();
  void scatter(int round);
  void sum(int round);
  void gather(int round);
  bool take_completed();
  Range piece(int block, int round) const;
  std::byte* arrived(int from, int round);
  std::byte* at(const Tensor& tensor, const Range& range) const;
  void send(const std::byte* from, const Range& range, int to, Owner owner);
  void receive(std::byte* into, const Range& range, int from, Owner owner);
  MPI_Request* request(Owner owner);
  int tag(Phase phase) const;
  int bytes(const Range& range) const;

  Call call_;
  std::shared_ptr<ExchangeChannel> channel_;
  std::string what_;
  std::size_t width_;
  std::int64_t block_ = 0;  // elements of every block but the last ones
  std::int64_t step_ = 0;   // elements of a piece
  int operation_ = 0;
  int started_ = 0, summed_ = 0, gathered_ = 0;  // rounds; round k moves piece k of every block
  std::vector<Round> rounds_;
  std::vector<MPI_Request> requests_;
  std::vector<Owner> owners_;  // of the requests
  std::vector<int> completed_;
  std::vector<std::byte> memory_;  // for the parts of my block that arrive
};

}  // namespace trireme
