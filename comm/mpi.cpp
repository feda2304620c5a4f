#include "comm/mpi.hpp"

#include <chrono>
#include <cstdlib>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "comm/environment.hpp"
#include "comm/mpi_exchange.hpp"
#include "comm/progress_page.hpp"
#include "comm/queue.hpp"
#include "comm/self_communicator.hpp"
#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/device/cuda.hpp"

namespace trireme {
namespace {

MPI_Datatype type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u8:
      return MPI_UINT8_T;
    case DType::bf16:
    case DType::f16:
    case DType::u16:
      return MPI_UINT16_T;
    case DType::f32:
      break;
  }
  return MPI_FLOAT;
}

MPI_Op operation_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::max:
      return MPI_MAX;
    case Reduction::min:
      return MPI_MIN;
    case Reduction::sum:
      break;
  }
  return MPI_SUM;
}

template <class To, class From>
void convert(const Tensor& from, const Tensor& to) {
  const auto source = from.span<From>();
  const auto target = to.span<To>();
  for (std::size_t i = 0; i < source.size(); ++i) target[i] = static_cast<To>(static_cast<float>(source[i]));
}

Tensor as_f32(const Tensor& half) {
  const auto out = Tensor::empty(half.shape(), DType::f32);
  half.dtype() == DType::bf16 ? convert<float, BFloat16>(half, out) : convert<float, Float16>(half, out);
  return out;
}

bool overlap(const Tensor& a, const Tensor& b) {
  const auto* first = static_cast<const std::byte*>(a.raw());
  const auto* second = static_cast<const std::byte*>(b.raw());
  return first < second + b.bytes() && second < first + a.bytes();
}

/// One call in flight, on the communication thread.
class MpiOperation {
 public:
  MpiOperation(Call call, MPI_Comm comm, int rank, std::string what)
      : call_(std::move(call)), comm_(comm), rank_(rank), what_(std::move(what)) {}

  void start() {
    in_ = call_.in;
    out_ = call_.out;
    for (const Tensor* tensor : {&in_, &out_})  // MPI looks at the current GPU of the thread that calls
      if (*tensor && tensor->device().is_cuda()) cuda::make_current(tensor->device().index);
    if (call_.kind == Collective::reduce && rank_ != call_.peer) out_ = {};  // only the root's is written
    if (reduces(call_.kind) && is_half(in_.dtype())) {
      // Sums are made in f32 and rounded once; MPI has no 16-bit floats.
      in_ = as_f32(in_);
      if (out_) out_ = Tensor::empty(out_.shape(), DType::f32);
    } else if (call_.kind == Collective::broadcast) {
      in_ = {};
    } else if (call_.kind != Collective::all_reduce && in_ && out_ && overlap(in_, out_)) {
      in_ = in_.clone();  // MPI forbids overlap; only all_reduce has an in-place form worth its own path
    }
    issue();
  }

  bool poll() {
    int done = 0;
    must_succeed(MPI_Testall(narrow<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE),
                 "MPI_Testall", what_);
    if (done == 0) return false;
    if (out_ && out_.dtype() != call_.out.dtype()) {
      if (call_.out.dtype() == DType::bf16)
        convert<BFloat16, float>(out_, call_.out);
      else
        convert<Float16, float>(out_, call_.out);
    }
    return true;
  }

 private:
  MPI_Request* request() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
  void done(int code, const char* call) { must_succeed(code, call, what_); }
  static void* address(const Tensor& tensor) { return tensor ? tensor.raw() : nullptr; }
  static int count(std::int64_t n) {
    require(n <= std::numeric_limits<int>::max(),
            "a piece of {} elements is more than MPI takes in one call (2^31 - 1); send it in parts", n);
    return static_cast<int>(n);
  }

  void issue() {
    const bool empty = (!in_ || in_.elements() == 0) && (!out_ || out_.elements() == 0);
    if (empty && (call_.kind != Collective::barrier && call_.kind != Collective::send &&
                  call_.kind != Collective::recv && call_.kind != Collective::exchange)) {
      return;
    }
    switch (call_.kind) {
      case Collective::all_reduce:
      case Collective::reduce:
      case Collective::broadcast:
        return issue_long();
      case Collective::reduce_scatter:
        return done(MPI_Ireduce_scatter_block(address(in_), address(out_), count(out_.elements()), type(),
                                              operation_of(call_.reduction), comm_, request()),
                    "MPI_Ireduce_scatter_block");
      case Collective::barrier:
        return done(MPI_Ibarrier(comm_, request()), "MPI_Ibarrier");
      case Collective::send:
      case Collective::recv:
      case Collective::exchange:
        return issue_messages();
      default:
        return issue_moves();
    }
  }

  MPI_Datatype type() const { return type_of(in_ ? in_.dtype() : out_.dtype()); }

  /// Element-wise collectives go in pieces, because MPI counts in int.
  void issue_long() {
    const Tensor& any = in_ ? in_ : out_;
    const auto step = std::int64_t{1} << 30;
    for (std::int64_t first = 0; first < any.elements(); first += step) {
      const int n = count(std::min(step, any.elements() - first));
      const auto at = [&](const Tensor& tensor) {
        return tensor ? static_cast<std::byte*>(tensor.raw()) + to_size(first) * size_of(tensor.dtype()) : nullptr;
      };
      const bool in_place = in_ && out_ && in_.raw() == out_.raw();
      const void* from = in_place ? MPI_IN_PLACE : at(in_);
      const auto op = operation_of(call_.reduction);
      if (call_.kind == Collective::all_reduce) {
        done(MPI_Iallreduce(from, at(out_), n, type(), op, comm_, request()), "MPI_Iallreduce");
      } else if (call_.kind == Collective::reduce) {
        done(
            MPI_Ireduce(at(in_), rank_ == call_.peer ? at(out_) : nullptr, n, type(), op, call_.peer, comm_, request()),
            "MPI_Ireduce");
      } else {
        done(MPI_Ibcast(at(out_), n, type(), call_.peer, comm_, request()), "MPI_Ibcast");
      }
    }
  }

  void issue_moves() {
    const auto t = type();
    if (call_.kind == Collective::all_gather) {
      const int n = count(in_.elements());
      done(MPI_Iallgather(address(in_), n, t, address(out_), n, t, comm_, request()), "MPI_Iallgather");
    } else if (call_.kind == Collective::gather) {
      const int n = count(in_.elements());
      done(MPI_Igather(address(in_), n, t, address(out_), n, t, call_.peer, comm_, request()), "MPI_Igather");
    } else if (call_.kind == Collective::scatter) {
      const int n = count(out_.elements());
      done(MPI_Iscatter(address(in_), n, t, address(out_), n, t, call_.peer, comm_, request()), "MPI_Iscatter");
    } else {
      int ranks = 1;
      done(MPI_Comm_size(comm_, &ranks), "MPI_Comm_size");
      const int n = count(in_.elements() / ranks);
      done(MPI_Ialltoall(address(in_), n, t, address(out_), n, t, comm_, request()), "MPI_Ialltoall");
    }
  }

  void issue_messages() {
    requests_.reserve(2);
    if (call_.kind != Collective::send) {
      done(MPI_Irecv(address(out_), count(out_.elements()), type_of(out_.dtype()), call_.source, call_.tag, comm_,
                     request()),
           "MPI_Irecv");
    }
    if (call_.kind != Collective::recv) {
      done(
          MPI_Isend(address(in_), count(in_.elements()), type_of(in_.dtype()), call_.peer, call_.tag, comm_, request()),
          "MPI_Isend");
    }
  }

  Call call_;
  MPI_Comm comm_;
  int rank_;
  std::string what_;
  Tensor in_, out_;
  std::vector<MPI_Request> requests_;
};

std::string open_library() {
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) return "MPI_Init_thread failed";
  if (provided < MPI_THREAD_FUNNELED) return "the MPI library does not give the thread level FUNNELED";
  if (MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) != MPI_SUCCESS)
    return "MPI_Comm_set_errhandler failed";
  return {};
}

}  // namespace

/// What all communicators of the process share.
struct MpiRuntime::Context {
  std::shared_ptr<CollectiveLog> log = std::make_shared<CollectiveLog>();
  std::unique_ptr<OperationQueue> queue;
  std::string host = host_name();
  int rank = 0;
  int size = 1;
  bool closed = false;

  /// Runs `f` on the communication thread and waits for it.
  void run(std::function<void()> f) {
    queue->submit([f = std::move(f)]() -> OperationQueue::Poll { return f(), nullptr; }).wait();
  }
  [[noreturn]] void abort(ExitCode code) {
    const int status = static_cast<int>(code);
    queue->interrupt([status] { MPI_Abort(MPI_COMM_WORLD, status); });
    // The communication thread may itself be stuck inside the library; dying without MPI_Finalize ends the job too.
    std::this_thread::sleep_for(std::chrono::seconds(2));
    std::_Exit(status);
  }
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(Identity identity, std::shared_ptr<MpiRuntime::Context> context, MPI_Comm comm)
      : Communicator(std::move(identity), context->log), context_(std::move(context)), comm_(comm) {}

  /// Collective; before the first large all_reduce.
  void open_exchange() {
    exchange_->rank = rank();
    exchange_->size = size();
    const auto what = fmt::format("the start of {} at rank {} on host {}", name(), rank(), host());
    context_->run([&] {
      must_succeed(MPI_Comm_dup(comm_, &exchange_->comm), "MPI_Comm_dup", what);
      must_succeed(MPI_Comm_set_errhandler(exchange_->comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", what);
    });
  }

  Event execute(const Call& call, CollectiveLog::Ticket ticket) override {
    auto what = describe(call, ticket);
    if (ExchangeAllReduce::is_worth_it(call, size())) {
      return submit(std::make_shared<ExchangeAllReduce>(call, exchange_, std::move(what)), std::move(ticket));
    }
    return submit(std::make_shared<MpiOperation>(call, comm_, rank(), std::move(what)), std::move(ticket));
  }

  std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) override {
    // MPI_Comm_split blocks: all ranks first meet in a barrier that can be polled, so that it blocks briefly.
    barrier().wait();
    MPI_Comm part = MPI_COMM_NULL;
    int part_rank = 0, part_size = 0;
    const auto what = fmt::format("the split of {} into {} at rank {} on host {}", name(), label, rank(), host());
    context_->run([&] {
      must_succeed(MPI_Comm_split(comm_, colour < 0 ? MPI_UNDEFINED : colour, key, &part), "MPI_Comm_split", what);
      if (part == MPI_COMM_NULL) return;
      must_succeed(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", what);
      must_succeed(MPI_Comm_rank(part, &part_rank), "MPI_Comm_rank", what);
      must_succeed(MPI_Comm_size(part, &part_size), "MPI_Comm_size", what);
    });
    if (part == MPI_COMM_NULL) return nullptr;
    return make(context_, {name() + "/" + label, part_rank, part_size, part});
  }

  [[noreturn]] void abort(ExitCode code) override { context_->abort(code); }

  struct Group {
    std::string name;
    int rank;
    int size;
    MPI_Comm comm;
  };
  static std::shared_ptr<Communicator> make(const std::shared_ptr<MpiRuntime::Context>& context, const Group& group) {
    Identity identity{.name = group.name, .rank = group.rank, .hosts = {context->host}};
    if (group.size == 1) return std::make_shared<SelfCommunicator>(std::move(identity), context->log);
    identity.hosts.assign(to_size(group.size), context->host);
    identity.hosts = MpiCommunicator(identity, context, group.comm).all_gather_text(context->host);
    auto made = std::make_shared<MpiCommunicator>(std::move(identity), context, group.comm);
    made->open_exchange();
    return made;
  }

 private:
  template <class Operation>
  Event submit(std::shared_ptr<Operation> operation, CollectiveLog::Ticket ticket) {
    return context_->queue->submit([operation = std::move(operation), ticket]() mutable -> OperationQueue::Poll {
      ticket.started();
      operation->start();
      return [operation = std::move(operation), ticket] {
        if (!operation->poll()) return false;
        ticket.finished();
        return true;
      };
    });
  }

  std::shared_ptr<MpiRuntime::Context> context_;
  MPI_Comm comm_;
  std::shared_ptr<ExchangeChannel> exchange_ = std::make_shared<ExchangeChannel>();
};

MpiRuntime::MpiRuntime() : context_(std::make_shared<Context>()) {
  Context& context = *context_;
  context.log->publish(progress_page());
  OperationQueue::Hooks hooks;
  hooks.first = [&context] {
    const auto problem = open_library();
    if (!problem.empty()) fail(ExitCode::usage, "starting MPI on host {}: {}", context.host, problem);
    MPI_Comm_rank(MPI_COMM_WORLD, &context.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &context.size);
  };
  hooks.last = [&context] {
    must_succeed(MPI_Finalize(), "MPI_Finalize",
                 fmt::format("the end of rank {} on host {}", context.rank, context.host));
  };
  context.queue = std::make_unique<OperationQueue>(std::move(hooks));
  try {
    check_world_size(context.size, [](const char* name) { return std::getenv(name); });
  } catch (...) {
    context.queue->close();  // a world of one: nobody to wait for
    throw;
  }
  world_ = MpiCommunicator::make(context_, {"world", context.rank, context.size, MPI_COMM_WORLD});
}

MpiRuntime::~MpiRuntime() = default;

void MpiRuntime::close() {
  if (std::exchange(context_->closed, true)) return;
  world_->progress();
  // MPI_Finalize waits for the others at full speed; they meet here first, politely.
  world_->barrier().wait();
  context_->queue->close();
}

void MpiRuntime::abort(ExitCode code, const std::string& message) {
  log::error("rank {} on host {}: {}", context_->rank, context_->host, message);
  if (context_->closed) std::_Exit(static_cast<int>(code));
  context_->abort(code);
}

}  // namespace trireme
