#include "comm/nccl_channel.hpp"

#include <algorithm>
#include <utility>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme::nccl {
namespace {

/// How long the end of a healthy communicator may take; the other ranks may be gone.
constexpr auto farewell = std::chrono::seconds(5);

double seconds(Clock::Time::duration time) { return std::chrono::duration<double>(time).count(); }

ExitCode code_of(Status status) {
  if (status == Status::remote_error) return ExitCode::peer_lost;
  return status == Status::invalid_usage ? ExitCode::usage : ExitCode::failure;
}

std::string advice(Status status) {
  switch (status) {
    case Status::remote_error:
      return "another rank or its host went away, whose own message says why";
    case Status::system_error:
      return "look at the room in /dev/shm (containers: --shm-size), the network interface (NCCL_SOCKET_IFNAME) and "
             "the limit of locked memory (ulimit -l)";
    case Status::invalid_usage:
      return "two ranks of a host may have chosen the same GPU: each needs one of its own";
    case Status::cuda_error:
      return "an earlier kernel may have failed; CUDA_LAUNCH_BLOCKING=1 shows which";
    default:
      return "this may be a mistake of the program or of NCCL";
  }
}

/// A start that was given up may still write where its handle was to be.
void set_aside(std::unique_ptr<Comm> place) {
  static std::mutex guard;
  static auto& places = *new std::vector<std::unique_ptr<Comm>>;
  const std::lock_guard lock(guard);
  places.push_back(std::move(place));
}

constexpr const char* more = "NCCL_DEBUG=INFO NCCL_DEBUG_SUBSYS=INIT,NET,COLL makes NCCL say more";
constexpr const char* hang_advice =
    "a rank that computes for longer, fails or makes other calls keeps all others waiting; the last lines of each rank "
    "say where it stands";

}  // namespace

Channel::Channel(Tools tools, Communicator::Identity identity, Deadlines deadlines)
    : tools_(std::move(tools)), identity_(std::move(identity)), deadlines_(deadlines) {}

Channel::~Channel() {
  if (*comm_ == nullptr) return;
  bool quiet = flying_.empty() && held_.empty();
  if (quiet) {
    Status status = api().finalize(*comm_);
    const Time limit = tools_.clock->now() + farewell;
    while (status == Status::in_progress && tools_.clock->now() < limit) {
      tools_.clock->pause();
      status = api().state(*comm_);
    }
    quiet = status == Status::success;
  }
  if (quiet) {
    api().destroy(*comm_);
  } else {
    api().abort(*comm_);
    set_aside(std::move(comm_));
  }
}

Comm Channel::comm() const {
  const std::lock_guard lock(guard_);
  return *comm_;
}

std::string Channel::self() const {
  return fmt::format("rank {} on host {}", identity_.rank, identity_.hosts.at(to_size(identity_.rank)));
}

void Channel::start(const Id& id) {
  const std::lock_guard lock(guard_);
  const Member who{identity_.rank, narrow<int>(static_cast<std::int64_t>(identity_.hosts.size())), identity_.name};
  const Status status = api().init(*comm_, id, who);
  await(status, {fmt::format("starting NCCL on {} at {}", identity_.name, self()), deadlines_.start});
}

bool Channel::start_part(Channel& parent, const Colour& colour) {
  const std::scoped_lock lock(guard_, parent.guard_);
  parent.check_thread("a split");
  parent.throw_if_broken();
  const Attempt attempt{
      fmt::format("splitting NCCL on {} into {} at {}", parent.identity_.name, colour.name, parent.self()),
      deadlines_.start};
  parent.await(api().split(*parent.comm_, *comm_, colour), attempt);
  if (colour.colour < 0) return false;
  await(api().state(*comm_), attempt);
  int rank = -1;
  await(api().rank_of(*comm_, rank), attempt);
  if (rank != identity_.rank)
    break_with({ExitCode::failure, fmt::format("{}: NCCL made it rank {} of the part, but it is rank {}", attempt.what,
                                               rank, identity_.rank)});
  throw_if_broken();
  return true;
}

Event Channel::run(Job job) {
  const std::lock_guard lock(guard_);
  check_thread(job.what);
  look();
  throw_if_broken();
  if (grouping_) return keep_back(std::move(job));
  // Apart from each other: within one group NCCL would choose the order, and not the same on all ranks.
  if (!held_.empty()) launch(std::exchange(held_, {}));
  std::vector<Waiting> jobs;
  jobs.push_back(enlist(std::move(job)));
  return launch(std::move(jobs));
}

Event Channel::hold(Job job) {
  const std::lock_guard lock(guard_);
  check_thread(job.what);
  throw_if_broken();
  return keep_back(std::move(job));
}

void Channel::flush_held() {
  const std::lock_guard lock(guard_);
  if (held_.empty() || grouping_) return;
  check_thread(held_.front().job.what);
  launch(std::exchange(held_, {}));
}

void Channel::begin_group() {
  const std::lock_guard lock(guard_);
  check_thread("a group of calls");
  throw_if_broken();
  require(!grouping_, "a group of calls on {} was begun inside another one", identity_.name);
  if (!held_.empty()) launch(std::exchange(held_, {}));
  grouping_ = true;
}

Event Channel::end_group() {
  const std::lock_guard lock(guard_);
  check_thread("the end of a group");
  require(std::exchange(grouping_, false), "a group of calls on {} was ended that was not begun", identity_.name);
  throw_if_broken();
  if (held_.empty()) return {};
  return launch(std::exchange(held_, {}));
}

void Channel::abandon_group() noexcept {
  const std::lock_guard lock(guard_);
  if (!std::exchange(grouping_, false)) return;
  const auto lost = std::make_exception_ptr(
      Error(fmt::format("a group of calls on {} was left before its end: nothing was sent", identity_.name)));
  for (const auto& one : std::exchange(held_, {})) {
    one.completion->set_helper(nullptr);
    one.completion->fail(lost);
  }
}

Channel::Waiting Channel::enlist(Job job) {
  Waiting out{std::move(job), std::make_shared<Completion>(), next_++};
  out.completion->set_helper([number = out.number, self = weak_from_this()] {
    const auto channel = self.lock();
    if (!channel) fail(ExitCode::failure, "an NCCL call was waited for after its communicator was gone");
    channel->finish(number);
  });
  return out;
}

Event Channel::keep_back(Job job) {
  held_.push_back(enlist(std::move(job)));
  return Event(held_.back().completion);
}

Event Channel::launch(std::vector<Waiting> jobs) {
  try {
    tools_.queue->join_compute();
    for (const auto& one : jobs) one.job.ticket.started();
    send_stages(jobs);
    Flying flying{{}, tools_.queue->mark(), tools_.clock->now()};
    auto event = flying.mark->event(jobs.back().completion);
    flying.jobs = std::move(jobs);
    flying_.push_back(std::move(flying));
    return event;
  } catch (...) {
    for (const auto& one : jobs) {
      one.completion->set_helper(nullptr);
      one.completion->fail(std::current_exception());
    }
    throw;
  }
}

/// Stage by stage: the first ones of all jobs as one, then the second ones.
void Channel::send_stages(const std::vector<Waiting>& jobs) {
  std::size_t stages = 0;
  for (const auto& one : jobs) stages = std::max(stages, one.job.stages.size());
  Attempt attempt{jobs.front().job.what, deadlines_.call};
  if (jobs.size() > 1) attempt.what += fmt::format(" and {} more sent with it", jobs.size() - 1);
  for (std::size_t s = 0; s < stages; ++s) {
    std::vector<const Transfer*> transfers;
    for (const auto& one : jobs) {
      if (s >= one.job.stages.size()) continue;
      for (const auto& transfer : one.job.stages[s].transfers) transfers.push_back(&transfer);
    }
    const bool group = transfers.size() > 1;
    Status status = group ? api().group_start() : Status::success;
    for (const auto* transfer : transfers) {
      if (status == Status::success || status == Status::in_progress)
        status = api().enqueue(*transfer, *comm_, tools_.queue->stream());
    }
    if (group) {
      const Status end = api().group_end();  // after an error too: NCCL keeps open groups per thread
      if (status == Status::success || status == Status::in_progress) status = end;
    }
    // Its kernels are on the stream only when nothing is in progress any more: a mark made earlier would be passed too
    // early.
    await(status, attempt);
    for (const auto& one : jobs) {
      if (s < one.job.stages.size() && one.job.stages[s].then) one.job.stages[s].then(tools_.queue->stream());
    }
  }
}

void Channel::await(Status status, const Attempt& attempt) {
  const Time limit = tools_.clock->now() + attempt.limit;
  while (status == Status::in_progress && !broken_) {
    if (stop_wanted_) {
      look();
    } else if (tools_.clock->now() > limit) {
      break_with({ExitCode::hang, fmt::format("{}: not done after {:.0f} s; {}. {}", attempt.what,
                                              seconds(attempt.limit), hang_advice, more)});
    } else {
      tools_.clock->pause();
      status = api().state(*comm_);
    }
  }
  if (status != Status::success && !broken_)
    break_with({code_of(status), fmt::format("{}: {}", attempt.what, report(status))});
  throw_if_broken();
}

void Channel::finish(std::uint64_t number) {
  for (;;) {
    {
      const std::lock_guard lock(guard_);
      look();
      if (finished_ >= number) return;
      throw_if_broken();
      if (!held_.empty() && held_.front().number <= number) {
        require(!grouping_, "{} was waited for inside its group; end the group first", held_.front().job.what);
        check_thread(held_.front().job.what);
        launch(std::exchange(held_, {}));
      }
    }
    tools_.clock->pause();
  }
}

void Channel::progress() {
  const std::lock_guard lock(guard_);
  look();
  throw_if_broken();
}

void Channel::drain() {
  flush_held();
  for (;;) {
    {
      const std::lock_guard lock(guard_);
      require(!grouping_, "{} is inside a group of calls; end it first", identity_.name);
      look();
      throw_if_broken();
      if (flying_.empty()) return;
    }
    tools_.clock->pause();
  }
}

void Channel::stop(ExitCode code, const std::string& cause) {
  {
    const std::lock_guard lock(stop_guard_);
    if (stop_wanted_) return;
    stop_ = {code, cause};
    stop_wanted_ = true;
  }
  // Whoever holds the lock waits for NCCL and sees the wish.
  const std::unique_lock lock(guard_, std::try_to_lock);
  if (lock) look();
}

void Channel::watch() {
  std::unique_lock lock(guard_, std::try_to_lock);
  if (!lock) return;
  look();
  if (!broken_ || heard_ || tools_.clock->now() - broken_at_ <= deadlines_.notice) return;
  heard_ = true;
  const Failure failure = failure_;
  lock.unlock();
  if (tools_.end_job) tools_.end_job(failure.code, failure.text);
}

void Channel::look() {
  if (std::this_thread::get_id() == owner_) spent_.clear();
  if (broken_) return;
  if (stop_wanted_) {
    const std::lock_guard lock(stop_guard_);
    return break_with({stop_.code, fmt::format("{}: stopped, because {}", under_way(), stop_.text)});
  }
  try {
    while (!flying_.empty() && flying_.front().mark->done()) finish_front();
  } catch (const std::exception& error) {
    return break_with({ExitCode::failure, fmt::format("{}: {}", under_way(), error.what())});
  }
  if (*comm_ == nullptr) return;
  const Status status = api().state(*comm_);
  if (status != Status::success && status != Status::in_progress)
    return break_with({code_of(status), fmt::format("{}: {}", under_way(), report(status))});
  if (flying_.empty()) return;
  const Time since = std::max(flying_.front().launched, last_done_);
  if (const auto waited = tools_.clock->now() - since; waited > deadlines_.call)
    break_with({ExitCode::hang,
                fmt::format("{}: not done after {:.0f} s; {}. {}", under_way(), seconds(waited), hang_advice, more)});
}

void Channel::finish_front() {
  Flying done = std::move(flying_.front());
  flying_.pop_front();
  last_done_ = tools_.clock->now();
  for (auto& one : done.jobs) {
    one.job.ticket.finished();
    finished_ = one.number;
    one.completion->set_helper(nullptr);
    one.completion->finish();
    give_back(one.job);
  }
}

/// Giving memory of a GPU back takes a lock that the computing thread may hold while it waits for a call that hangs:
/// whoever watches over that must not come to wait for it.
void Channel::give_back(Job& job) {
  if (std::this_thread::get_id() == owner_) return job.keep.clear();
  for (auto& buffer : job.keep) spent_.push_back(std::move(buffer));
}

void Channel::check_thread(const std::string& what) const {
  require(std::this_thread::get_id() == owner_,
          "{} was asked for on another thread than the one that made the communicator; the ranks' calls must come in "
          "one order, so one thread makes them all",
          what);
}

void Channel::throw_if_broken() {
  if (!broken_) return;
  if (std::this_thread::get_id() == owner_) heard_ = true;
  std::rethrow_exception(broken_);
}

/// The first failure; everything under way fails with it.
void Channel::break_with(Failure failure) {
  if (broken_) return;
  failure.text += fmt::format(". The NCCL communicator {} was aborted", identity_.name);
  failure_ = std::move(failure);
  broken_ = std::make_exception_ptr(Error(failure_.text, failure_.code));
  broken_at_ = tools_.clock->now();
  if (*comm_ != nullptr) {
    api().abort(*comm_);
    set_aside(std::move(comm_));
    comm_ = std::make_unique<Comm>();
  }
  auto jobs = std::exchange(held_, {});
  for (auto& flying : flying_)
    for (auto& one : flying.jobs) jobs.push_back(std::move(one));
  for (auto& one : jobs) {
    one.completion->set_helper(nullptr);
    one.completion->fail(broken_);
    give_back(one.job);
  }
  flying_.clear();
}

std::string Channel::under_way() const {
  if (flying_.empty()) return fmt::format("NCCL on {} at {}, with no call under way", identity_.name, self());
  std::size_t others = 0;
  for (const auto& flying : flying_) others += flying.jobs.size();
  const auto& first = flying_.front().jobs.front().job.what;
  return others == 1 ? first : fmt::format("{} (and {} calls after it)", first, others - 1);
}

std::string Channel::report(Status status) const {
  return fmt::format("NCCL reports {} ({}); {}. {}", name_of(status), tools_.api->explain(*comm_, status),
                     advice(status), more);
}

}  // namespace trireme::nccl
