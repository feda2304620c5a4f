// One NCCL communicator of this process: started, watched and ended. Nothing here waits without a deadline: what NCCL
// does behind is polled, and an error, a time-out or a stop ends in ncclCommAbort and one Error that names rank, host,
// operation and what to look at; from then on every call throws it again. Calls come from the thread that made the
// channel; watch() and stop() from any.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl_api.hpp"

namespace trireme::nccl {

struct Deadlines {
  std::chrono::milliseconds start{120'000};  // for all ranks to arrive, and for NCCL to come up
  std::chrono::milliseconds call{600'000};   // of a call, once those before it are done
  std::chrono::milliseconds notice{10'000};  // for the computing thread to hear of a failure, before the job is ended
};

/// Transfers that are sent as one, and what then follows them on the stream.
struct Stage {
  std::vector<Transfer> transfers;
  std::function<void(const Stream&)> then = nullptr;
};

/// One call of the communicator: its stages run one after the other.
struct Job {
  std::string what;  // "all_reduce number 12 of world (f32 x 4096) at rank 3 on host a"
  CollectiveLog::Ticket ticket;
  std::vector<Stage> stages;
  std::vector<std::shared_ptr<Buffer>> keep;  // memory that must live until the job is done
};

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  Channel(Tools tools, Communicator::Identity identity, Deadlines deadlines);
  /// Aborts what is still under way.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Comes up as one of the ranks that give the same id.
  void start(const Id& id);
  /// Comes up as a part of `parent`, on which nothing may be under way. False: this rank has no part.
  bool start_part(Channel& parent, const Colour& colour);

  /// Queues the job and returns its event; between begin_group() and end_group() it is kept back. Messages are `held`
  /// until the next other call or wait, so that those of both directions are sent as one.
  Event run(Job job);
  Event hold(Job job);
  void flush_held();
  void begin_group();
  Event end_group();
  /// Forgets the calls of a group that an exception left.
  void abandon_group() noexcept;

  /// Notes what is done; throws what went wrong.
  void progress();
  /// Waits until all jobs are done.
  void drain();
  /// Ends everything under way with this cause.
  void stop(ExitCode code, const std::string& cause);
  /// progress() for another thread: nothing is thrown, but a failure that the computing thread has not heard of in time
  /// ends the job.
  void watch();

  Api& api() const { return *tools_.api; }
  Queue& queue() const { return *tools_.queue; }
  const Tools& tools() const { return tools_; }
  const Deadlines& deadlines() const { return deadlines_; }
  /// "rank 3 on host a".
  std::string self() const;
  /// Null once it was aborted.
  Comm comm() const;

 private:
  using Time = Clock::Time;
  struct Waiting {
    Job job;
    std::shared_ptr<Completion> completion;
    std::uint64_t number = 0;
  };
  struct Flying {
    std::vector<Waiting> jobs;
    std::unique_ptr<Mark> mark;
    Time launched{};
  };

  struct Failure {
    ExitCode code = ExitCode::failure;
    std::string text;
  };
  /// Something NCCL was asked to do, and by when it must be done.
  struct Attempt {
    std::string what;
    std::chrono::milliseconds limit;
  };

  Waiting enlist(Job job);
  Event keep_back(Job job);
  Event launch(std::vector<Waiting> jobs);
  void send_stages(const std::vector<Waiting>& jobs);
  void await(Status status, const Attempt& attempt);
  void finish(std::uint64_t number);
  void look();
  void finish_front();
  void give_back(Job& job);
  void check_thread(const std::string& what) const;
  void throw_if_broken();
  void break_with(Failure failure);
  std::string under_way() const;
  std::string report(Status status) const;

  Tools tools_;
  Communicator::Identity identity_;
  Deadlines deadlines_;
  std::thread::id owner_ = std::this_thread::get_id();
  mutable std::mutex guard_;
  std::unique_ptr<Comm> comm_ = std::make_unique<Comm>();  // NCCL's threads may write it
  std::vector<Waiting> held_;
  std::deque<Flying> flying_;
  std::vector<std::shared_ptr<Buffer>> spent_;  // of jobs that another thread saw done
  std::uint64_t next_ = 1, finished_ = 0;       // numbers of jobs; they are done in order
  Time last_done_{};
  bool grouping_ = false;
  std::exception_ptr broken_;
  Failure failure_;  // what broken_ says
  Time broken_at_{};
  bool heard_ = false;  // by the computing thread
  std::mutex stop_guard_;
  Failure stop_;
  std::atomic<bool> stop_wanted_{false};
};

}  // namespace trireme::nccl
