#include "datasets/pair_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

namespace trireme {
namespace {

/// Up to here looking at all ranks for the lowest is faster than a queue.
constexpr std::size_t few = 96;

/// A pair that may join: where its left token stands, and the two tokens as they were when it was entered.
struct PairCandidate {
  std::uint32_t rank, at;
  std::int32_t left, right;
  friend bool operator<(const PairCandidate& a, const PairCandidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;  // the queue gives the greatest first
  }
};

}  // namespace

PairTable::PairTable(std::span<const Merge> merges) {
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(merges.size() * 2, 16));
  entries_.resize(size);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  for (std::size_t k = 0; k < merges.size(); ++k) {
    const Entry& entry = find(merges[k].left, merges[k].right);
    entries_[static_cast<std::size_t>(&entry - entries_.data())] = {.pair = key(merges[k].left, merges[k].right),
                                                                    .rank = static_cast<std::uint32_t>(k),
                                                                    .result = merges[k].result};
  }
}

void PairTable::join(std::vector<std::int32_t>& ids) const {
  if (ids.size() < 2) return;
  ids.size() <= few ? join_few(ids) : join_many(ids);
}

void PairTable::join_few(std::vector<std::int32_t>& ids) const {
  std::array<std::uint32_t, few> rank;
  std::size_t n = ids.size();
  const auto rank_at = [&](std::size_t i) { return i + 1 < n ? find(ids[i], ids[i + 1]).rank : none; };
  for (std::size_t i = 0; i < n; ++i) rank[i] = rank_at(i);
  for (;;) {
    const auto lowest = static_cast<std::size_t>(std::min_element(rank.begin(), rank.begin() + n) - rank.begin());
    if (rank[lowest] == none) break;
    ids[lowest] = find(ids[lowest], ids[lowest + 1]).result;
    std::move(ids.begin() + lowest + 2, ids.begin() + n, ids.begin() + lowest + 1);
    std::move(rank.begin() + lowest + 2, rank.begin() + n, rank.begin() + lowest + 1);
    --n;
    rank[lowest] = rank_at(lowest);
    if (lowest > 0) rank[lowest - 1] = rank_at(lowest - 1);
  }
  ids.resize(n);
}

void PairTable::join_many(std::vector<std::int32_t>& ids) const {
  constexpr std::uint32_t end = std::numeric_limits<std::uint32_t>::max();
  const auto n = static_cast<std::uint32_t>(ids.size());
  std::vector<std::uint32_t> next(n), before(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    next[i] = i + 1 < n ? i + 1 : end;
    before[i] = i > 0 ? i - 1 : end;
  }
  std::priority_queue<PairCandidate> queue;
  const auto enter = [&](std::uint32_t at) {
    if (at == end || next[at] == end) return;
    const Entry& entry = find(ids[at], ids[next[at]]);
    if (entry.rank != none) queue.push({entry.rank, at, ids[at], ids[next[at]]});
  };
  for (std::uint32_t i = 0; i < n; ++i) enter(i);
  while (!queue.empty()) {
    const PairCandidate best = queue.top();
    queue.pop();
    const std::uint32_t right = ids[best.at] == best.left ? next[best.at] : end;
    if (right == end || ids[right] != best.right) continue;  // one of the two has joined another
    ids[best.at] = find(best.left, best.right).result;
    ids[right] = -1;
    next[best.at] = next[right];
    if (next[right] != end) before[next[right]] = best.at;
    enter(before[best.at]);
    enter(best.at);
  }
  std::erase(ids, -1);
}

}  // namespace trireme
