#include "comm/parallel/buckets.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/profile.hpp"

namespace trireme {
namespace {

class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total) {}
  ~Stopwatch() { total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

std::vector<Bucket> plan_buckets(const ArenaLayout& layout, const BucketOptions& options) {
  const auto width = size_of(layout.gradient_dtype());
  std::vector<Bucket> out;
  std::int64_t end = layout.trained_elements();
  std::size_t entries = 0;
  for (std::size_t k = layout.trained(); k-- > 0;) {
    ++entries;
    const std::int64_t first = k == 0 ? 0 : layout.entries()[k].offset;
    const auto wanted = out.empty() ? options.first_bytes : options.bytes;
    if (k > 0 && to_size(end - first) * width < wanted) continue;
    out.push_back({first, end - first, k, entries});
    end = first;
    entries = 0;
  }
  return out;
}

Buckets::Buckets(Communicator& comm, std::vector<Bucket> plan, Tensor grad)
    : comm_(comm), plan_(std::move(plan)), grad_(std::move(grad)) {
  std::size_t entries = 0;
  for (const auto& bucket : plan_) entries = std::max(entries, bucket.first_entry + bucket.entries);
  bucket_of_.resize(entries);
  for (std::size_t b = 0; b < plan_.size(); ++b) {
    for (std::size_t k = 0; k < plan_[b].entries; ++k) bucket_of_[plan_[b].first_entry + k] = b;
  }
  begin();
}

void Buckets::begin() {
  require(under_way_.empty(), "a step was begun while {} gradient buckets are under way; call flush() first",
          under_way_.size());
  filled_.assign(bucket_of_.size(), 0);
  missing_.clear();
  for (const auto& bucket : plan_) missing_.push_back(bucket.entries);
  sent_ = 0;
  timing_ = {};
}

void Buckets::fill(std::size_t entry) {
  if (std::exchange(filled_.at(entry), char{1})) return;
  const Stopwatch watch(timing_.helping_seconds);
  const ProfileSpan span("send", ProfileSpan::Kind::communication);
  --missing_[bucket_of_[entry]];
  while (sent_ < plan_.size() && missing_[sent_] == 0) send_next();
  comm_.progress();
}

void Buckets::send_next() {
  const auto& bucket = plan_[sent_++];
  under_way_.push_back(comm_.all_reduce(grad_.slice(bucket.first, bucket.count)));
}

void Buckets::flush() {
  const Stopwatch watch(timing_.exposed_seconds);
  while (sent_ < plan_.size()) send_next();
  const auto events = std::exchange(under_way_, {});
  for (const auto& event : events) wait_in_order(comm_, grad_, event);
  comm_.progress();  // where only a stream waits, what went wrong is heard of here
}

void wait_in_order(const Communicator& comm, const Tensor& values, const Event& event) {
  const Stream* compute = comm.compute();
  if (compute != nullptr && compute->device() == values.device()) {
    compute->wait(event);
  } else {
    event.wait();
  }
}

}  // namespace trireme
