#include "comm/nccl_communicator.hpp"

#include <algorithm>
#include <utility>

#include "comm/nccl_watch.hpp"
#include "comm/rendezvous.hpp"
#include "comm/self_communicator.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/log.hpp"

namespace trireme {
namespace {

using nccl::Channel;
using Texts = std::vector<std::optional<std::string>>;

/// Ranks that wait for NCCL until their limit still have to be heard by those that failed at once.
constexpr auto margin = std::chrono::seconds(10);

/// A record of a meeting begins with what it is: a failure, or whatever the meeting is for.
constexpr char failed = '!', well = '.';

std::string place_of(const Communicator& comm, int rank) {
  return fmt::format("rank {} on host {}", rank, comm.host_of(rank));
}

struct Failed {
  int rank = 0;
  ExitCode code = ExitCode::failure;
  std::string text;
};

std::vector<Failed> failures_in(const Texts& texts) {
  std::vector<Failed> out;
  for (std::size_t r = 0; r < texts.size(); ++r) {
    if (!texts[r] || texts[r]->size() < 2 || !texts[r]->starts_with(failed)) continue;
    const auto code = static_cast<ExitCode>(static_cast<unsigned char>((*texts[r])[1]));
    out.push_back({narrow<int>(static_cast<std::int64_t>(r)), code, texts[r]->substr(2)});
  }
  return out;
}

/// "rank 2 on host c, rank 5 on host f"; empty when all came.
std::string absent_in(const Communicator& base, const Texts& texts) {
  constexpr int most = 8;
  std::string out;
  int count = 0;
  for (int r = 0; r < base.size(); ++r) {
    if (texts[to_size(r)] || count++ >= most) continue;
    out += (out.empty() ? "" : ", ") + place_of(base, r);
  }
  return count > most ? fmt::format("{} and {} more", out, count - most) : out;
}

/// Throws where a rank did not come or says that it failed. That others waited in vain says less than why.
void check_meeting(const Communicator& base, const Texts& texts, const std::string& what,
                   std::chrono::milliseconds limit) {
  const auto bad = failures_in(texts);
  const auto absent = absent_in(base, texts);
  const auto cause = std::find_if(bad.begin(), bad.end(), [](const Failed& f) { return f.code != ExitCode::hang; });
  if (cause == bad.end() && !absent.empty())
    fail(
        ExitCode::hang,
        "{} at {}: these ranks did not arrive within {:.0f} s: {}. Look at what they say last, and whether their hosts "
        "answer; the time may be set longer",
        what, place_of(base, base.rank()), std::chrono::duration<double>(limit).count(), absent);
  if (bad.empty()) return;
  const Failed& first = cause == bad.end() ? bad.front() : *cause;
  fail(first.code, "{} failed on {} of {} ranks, first on {}: {}", what, bad.size(), base.size(),
       place_of(base, first.rank), first.text);
}

std::string failure_record(const Error& error) {
  return fmt::format("{}{}{}", failed, static_cast<char>(error.code()), error.what());
}

Patience patience_of(nccl::Clock& clock, std::chrono::milliseconds limit) {
  return {limit, [&clock] { return clock.now(); }, [&clock] { clock.pause(); }};
}

/// Meets and checks; `mine` empty: all is well here.
void agree_on(Communicator& base, const std::string& mine, const std::string& what, const Patience& patience) {
  const auto texts = meet(base, mine.empty() ? std::string(1, well) : mine, patience);
  check_meeting(base, texts, what, patience.limit);
}

/// The id that rank 0 made, given to all that arrive in time.
nccl::Id share_id(Communicator& base, nccl::Api* api, std::string problem, const Patience& patience) {
  nccl::Id id{};
  if (problem.empty() && base.rank() == 0) {
    const auto status = api->make_id(id);
    if (status != nccl::Status::success)
      problem =
          failure_record(Error(fmt::format("ncclGetUniqueId: {} ({}); NCCL_SOCKET_IFNAME may name a network "
                                           "interface that is not there",
                                           nccl::name_of(status), api->explain(nullptr, status))));
  }
  auto mine = problem.empty() ? well + std::string(id.data(), id.size()) : problem;
  const auto texts = meet(base, mine, patience);
  check_meeting(base, texts, fmt::format("starting NCCL on {}", base.name()), patience.limit);
  const auto& first = *texts.front();
  require(first.size() == id.size() + 1, "starting NCCL: rank 0 sent an id of {} bytes instead of {}", first.size() - 1,
          id.size());
  std::copy(first.begin() + 1, first.end(), id.begin());
  return id;
}

/// Memory that NCCL allocates and knows.
class RegisteredAllocator final : public Allocator {
 public:
  RegisteredAllocator(std::shared_ptr<Channel> channel, Device device)
      : channel_(std::move(channel)), device_(device) {}
  Device device() const override { return device_; }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    nccl::Block block{nullptr, std::max<std::size_t>(bytes, 128)};
    must(channel_->api().allocate(block), "ncclMemAlloc", block.bytes);
    void* handle = nullptr;
    const auto status = channel_->api().register_memory(channel_->comm(), block, handle);
    if (status != nccl::Status::success) channel_->api().release(block);
    must(status, "ncclCommRegister", block.bytes);
    return std::make_shared<Buffer>(block.data, bytes, device_, [channel = channel_, block, handle](void*) {
      channel->queue().stream().synchronize();
      if (channel->comm() != nullptr) channel->api().unregister(channel->comm(), handle);
      channel->api().release(block);
    });
  }

 private:
  void must(nccl::Status status, const char* call, std::size_t bytes) const {
    if (status == nccl::Status::success) return;
    fail(ExitCode::failure, "{} of {} bytes on {} at {}: {} ({}); ordinary memory (no registration) may still do", call,
         bytes, device_.name(), channel_->self(), nccl::name_of(status), channel_->api().explain(nullptr, status));
  }

  std::shared_ptr<Channel> channel_;
  Device device_;
};

}  // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<Communicator> base, std::shared_ptr<Channel> channel,
                                   NcclOptions options)
    : Communicator(base->identity(), base->shared_log()),
      base_(std::move(base)),
      channel_(std::move(channel)),
      options_(options),
      device_(channel_->queue().stream().device()),
      scratch_(std::make_shared<StepAllocator>(device_)) {}

NcclCommunicator::~NcclCommunicator() = default;

std::shared_ptr<Communicator> NcclCommunicator::make(std::shared_ptr<Communicator> base, const Opener& open,
                                                     const NcclOptions& options) {
  const auto& deadlines = options.deadlines;
  nccl::Tools tools;
  std::string problem;
  try {
    tools = open();
  } catch (const Error& error) {
    problem = failure_record(error);
  }
  const auto clock = tools.clock ? tools.clock : nccl::make_clock();
  const auto id = share_id(*base, tools.api.get(), problem, patience_of(*clock, deadlines.start));
  if (!tools.end_job) {
    tools.end_job = [weak = std::weak_ptr(base)](ExitCode code, const std::string& text) {
      log::error("{}", text);
      if (const auto comm = weak.lock()) comm->abort(code);
    };
  }
  const auto channel = std::make_shared<Channel>(tools, base->identity(), deadlines);
  const auto what = fmt::format("starting NCCL on {}", base->name());
  try {
    channel->start(id);
  } catch (const Error& error) {
    problem = failure_record(error);
  }
  agree_on(*base, problem, what, patience_of(*clock, deadlines.start + margin));
  std::shared_ptr<NcclCommunicator> made(new NcclCommunicator(std::move(base), channel, options));
  if (tools.watched) {
    made->watch_ = std::make_shared<nccl::Watch>();
    made->watch_->add(channel);
  }
  return made;
}

std::shared_ptr<Communicator> NcclCommunicator::split(int colour, int key, const std::string& label) {
  channel_->drain();
  auto part = base_->split(colour, key, label);
  const bool alone = !part || part->size() == 1;
  const auto name = part ? part->name() : label;
  const auto identity = part ? part->identity() : Identity{.name = name, .rank = 0, .hosts = {host()}};
  const auto channel = std::make_shared<Channel>(channel_->tools(), identity, options_.deadlines);
  std::string problem;
  try {
    channel->start_part(*channel_, {alone ? -1 : colour, key, name});
  } catch (const Error& error) {
    if (alone) throw;
    problem = failure_record(error);
  }
  if (!part) return nullptr;
  if (alone) return std::make_shared<SelfCommunicator>(identity, shared_log(), compute());
  auto& clock = *channel_->tools().clock;
  agree_on(*part, problem, fmt::format("splitting NCCL on {} into {}", this->name(), name),
           patience_of(clock, options_.deadlines.start + margin));
  std::shared_ptr<NcclCommunicator> made(new NcclCommunicator(std::move(part), channel, options_));
  made->watch_ = watch_;
  if (watch_) watch_->add(channel);
  return made;
}

bool NcclCommunicator::is_ours(const Call& call) const {
  return (call.in && call.in.device() == device_) || (call.out && call.out.device() == device_);
}

Event NcclCommunicator::execute(const Call& call, CollectiveLog::Ticket ticket) {
  if (!is_ours(call)) {
    channel_->flush_held();
    return base_->execute(call, std::move(ticket));
  }
  auto job = nccl::plan(call, {rank(), size(), options_.half_sums, scratch_.get()});
  if (job.stages.empty()) {
    ticket.started();
    ticket.finished();
    return {};
  }
  job.what = describe(call, ticket);
  job.ticket = std::move(ticket);
  const bool message = call.kind == Collective::send || call.kind == Collective::recv;
  return message ? channel_->hold(std::move(job)) : channel_->run(std::move(job));
}

void NcclCommunicator::progress() {
  base_->progress();
  channel_->progress();
}

std::shared_ptr<Allocator> NcclCommunicator::shared_allocator(std::size_t) {
  if (options_.memory == NcclOptions::Memory::registered)
    return std::make_shared<RegisteredAllocator>(channel_, device_);
  return {std::shared_ptr<void>{}, &system_allocator(device_)};
}

void NcclCommunicator::abort(ExitCode code) {
  channel_->stop(code, "the job is ended");
  base_->abort(code);
  Communicator::abort(code);  // not reached
}

std::shared_ptr<Communicator> with_nccl(std::shared_ptr<Communicator> base, const Stream& compute,
                                        const NcclOptions& options) {
  if (!compute.device().is_cuda()) return base;
  if (base->size() == 1 && options.alone == NcclOptions::Alone::copies)
    return std::make_shared<SelfCommunicator>(base->identity(), base->shared_log(), &compute);
  const auto open = [&compute] {
    return nccl::Tools{.api = nccl::open_library(compute.device()),
                       .queue = nccl::make_queue(compute),
                       .clock = nccl::make_clock(),
                       .end_job = nullptr,
                       .watched = true};
  };
  return NcclCommunicator::make(std::move(base), open, options);
}

}  // namespace trireme
