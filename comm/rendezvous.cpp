#include "comm/rendezvous.hpp"

#include <algorithm>

#include "core/base/checked.hpp"

namespace trireme {
namespace {
constexpr int tag = 7101;
constexpr std::int64_t record_bytes = longest_text + 2;
}  // namespace

Tensor meeting_record(const std::string& text) {
  const auto record = Tensor::zeros({record_bytes}, DType::u8);
  const auto bytes = record.span<std::uint8_t>();
  const std::size_t length = std::min(text.size(), longest_text);
  bytes[0] = static_cast<std::uint8_t>(length & 255);
  bytes[1] = static_cast<std::uint8_t>(length >> 8);
  std::copy_n(text.begin(), length, bytes.begin() + 2);
  return record;
}

std::string meeting_text(const Tensor& record) {
  const auto bytes = record.span<std::uint8_t>();
  const std::size_t length = std::min<std::size_t>(bytes[0] + std::size_t{256} * bytes[1], longest_text);
  return {bytes.begin() + 2, bytes.begin() + 2 + static_cast<std::ptrdiff_t>(length)};
}

std::vector<std::optional<std::string>> meet(Communicator& comm, const std::string& mine, const Patience& patience) {
  const auto ranks = to_size(comm.size());
  std::vector<std::optional<std::string>> out(ranks);
  std::vector<Tensor> records(ranks);
  std::vector<Event> arrivals(ranks), departures;
  const auto record = meeting_record(mine);
  for (int r = 0; r < comm.size(); ++r) {
    if (r == comm.rank()) continue;
    records[to_size(r)] = meeting_record({});
    arrivals[to_size(r)] = comm.recv(records[to_size(r)], r, tag);
    departures.push_back(comm.send(record, r, tag));
  }
  out[to_size(comm.rank())] = meeting_text(record);
  const auto limit = patience.now() + patience.limit;
  for (std::size_t missing = ranks - 1;;) {
    comm.progress();
    for (std::size_t r = 0; r < ranks; ++r) {
      if (out[r] || !arrivals[r].done()) continue;
      arrivals[r].wait();
      out[r] = meeting_text(records[r]);
      --missing;
    }
    if (missing == 0 || patience.now() > limit) return out;
    patience.pause();
  }
}

}  // namespace trireme
