// A bounded cache of what libraries compiled or chose for a shape, for oneDNN, cuBLASLt and cuDNN. Thread-safe; the
// least recently used go. Internal to core/ops.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace trireme::ops {

/// Everything a plan depends on; unused places are 0.
using PlanKey = std::array<std::int64_t, 24>;

struct HashPlanKey {
  std::size_t operator()(const PlanKey& key) const {
    std::size_t hash = 0xcbf29ce484222325u;
    for (const std::int64_t part : key) hash = (hash ^ static_cast<std::size_t>(part)) * 0x100000001b3u;
    return hash;
  }
};

template <class Plan>
class PlanCache {
 public:
  /// The plan of `key`, made by `make`, which returns a std::shared_ptr<Plan>, when it is not in the cache.
  template <class Make>
  std::shared_ptr<Plan> find_or_make(const PlanKey& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    const auto [at, fresh] = entries_.try_emplace(key);
    if (fresh) {
      try {
        at->second.plan = make();
      } catch (...) {
        entries_.erase(at);
        throw;
      }
    }
    at->second.last_use = ++clock_;
    const std::shared_ptr<Plan> plan = at->second.plan;
    if (entries_.size() > most_plans) drop_older_half();
    return plan;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    entries_.clear();
  }

 private:
  /// Shapes of one network are few; only a stream of ever new shapes fills this.
  static constexpr std::size_t most_plans = 512;

  struct Entry {
    std::shared_ptr<Plan> plan;
    std::uint64_t last_use = 0;
  };
  void drop_older_half() {
    std::vector<std::uint64_t> uses;
    for (const auto& [key, entry] : entries_) uses.push_back(entry.last_use);
    const auto middle = uses.begin() + static_cast<std::ptrdiff_t>(uses.size() / 2);
    std::nth_element(uses.begin(), middle, uses.end());
    const std::uint64_t oldest_kept = *middle;
    std::erase_if(entries_, [&](const auto& entry) { return entry.second.last_use < oldest_kept; });
  }

  std::mutex mutex_;
  std::uint64_t clock_ = 0;
  std::unordered_map<PlanKey, Entry, HashPlanKey> entries_;
};

}  // namespace trireme::ops
