#include "launcher/run/session.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "comm/agreement.hpp"
#include "comm/node_communicator.hpp"
#include "comm/progress_page.hpp"
#include "core/base/log.hpp"
#include "core/device/gpu_list.hpp"
#include "core/io/hash.hpp"
#include "launcher/run/cores.hpp"
#include "launcher/run/device_choice.hpp"

namespace trireme {

void SessionOptions::declare(OptionSet& options) {
  options.group("Machine")
      .add("device", &device,
           "where to compute: auto (a GPU for each rank where there are enough, else the CPU), cpu, cuda or cuda:N")
      .add("share-gpu", &share_gpu, "several ranks may compute on one GPU")
      .add("collectives", &collectives,
           "what carries the data of GPUs: nccl, mpi (by way of host memory), or auto: nccl where it can",
           {{"auto", GpuTransport::Way::automatic}, {"nccl", GpuTransport::Way::nccl}, {"mpi", GpuTransport::Way::mpi}})
      .add("check-collectives", &check_collectives,
           "compare every collective between the ranks before it runs, to name ranks that make different ones; slower")
      .add("nccl-start-timeout", &nccl_start_timeout, "seconds for all ranks to arrive at the start of NCCL",
           {.low = 1, .high = 86400})
      .add("nccl-timeout", &nccl_timeout, "seconds that a call of NCCL may take, once those before it are done",
           {.low = 1, .high = 86400})
      .add("threads", &threads, "compute threads of a rank; 0: OMP_NUM_THREADS, else cores / ranks of the host",
           {.low = 0, .high = 4096})
      .add("binding", &binding, "automatic: each rank is bound to its share of the host's cores; none: left alone",
           {{"automatic", Binding::automatic}, {"none", Binding::none}});
}

Session::Session(MpiRuntime& runtime, const SessionOptions& options) {
  if (options.check_collectives) runtime.world()->log().check_calls();
  world_ = with_node_window(runtime.world());
  if (world_->size() > 1) log::set_prefix(fmt::format("[rank {} {}] ", world_->rank(), world_->host()));
  share_cores(options);
  choose_device(options);
  // NCCL takes one rank a GPU.
  const bool shared = options.share_gpu && options.collectives == GpuTransport::Way::automatic && world_->size() > 1;
  const auto milliseconds = [](double seconds) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  };
  const nccl::Deadlines deadlines{.start = milliseconds(options.nccl_start_timeout),
                                  .call = milliseconds(options.nccl_timeout)};
  world_ = with_gpu(world_, *stream_,
                    {.way = shared ? GpuTransport::Way::mpi : options.collectives, .nccl = {.deadlines = deadlines}});
  mesh_ = std::make_unique<Mesh>(world_, MeshDegrees{});
}

namespace {

std::string text_of(const std::vector<int>& cores) { return fmt::format("{}", fmt::join(cores, ",")); }

/// Ranks of a host that all may use the same cores divide them; masks that differ were set on purpose and stay. A
/// single rank that mpirun bound to one core, as is its default, gets all cores back.
void share_host(Communicator& world) {
  const std::vector<std::string> masks = world.all_gather_text(world.host() + " " + text_of(bound_cores()));
  int sharing = 0;
  for (const std::string& mask : masks)
    if (mask == masks[static_cast<std::size_t>(world.rank())]) ++sharing;
  if (world.local_size() == 1) {
    if (bound_cores().size() == 1 && std::getenv("OMPI_COMM_WORLD_SIZE")) bind_to(allowed_cores());
  } else if (sharing == world.local_size() && static_cast<int>(bound_cores().size()) >= world.local_size()) {
    bind_to(share_of(bound_cores(), world.local_rank(), world.local_size()));
  }
}

}  // namespace

void Session::share_cores(const SessionOptions& options) {
  if (options.binding == Binding::automatic) share_host(*world_);
  const auto cores = static_cast<int>(bound_cores().size());
  const char* wanted = std::getenv("OMP_NUM_THREADS");
  const int from_environment = wanted ? std::atoi(wanted) : 0;
  threads_ =
      options.threads > 0 ? static_cast<int>(options.threads) : (from_environment > 0 ? from_environment : cores);
  if (threads_ > cores)
    log::warning("{} compute threads on {} bound core{}: they will take turns; use --threads {}", threads_, cores,
                 cores == 1 ? "" : "s", cores);
  set_compute_threads(threads_);
  if (world_->local_rank() == 0)
    log::info("{}: {} rank{}, {} core{} and {} compute thread{} each", world_->host(), world_->local_size(),
              world_->local_size() == 1 ? "" : "s", cores, cores == 1 ? "" : "s", threads_, threads_ == 1 ? "" : "s");
}

void Session::choose_device(const SessionOptions& options) {
  DeviceRequest request = DeviceRequest::parse(options.device);
  if (options.share_gpu) request.sharing = DeviceRequest::Sharing::allowed;
  std::vector<RankView> views;
  for (const std::string& text : world_->all_gather_text(RankView::here(request, world_->host()).to_text()))
    views.push_back(RankView::from_text(text));
  const DeviceChoice choice = choose_devices(request, views);
  if (leads() && !choice.note.empty()) log::info("{}", choice.note);
  const Device device = choice.of_ranks[static_cast<std::size_t>(world_->rank())];
  if (device.is_cuda() && world_->local_rank() == 0) {
    const GpuFacts gpu = gpus_of_process()[static_cast<std::size_t>(device.index)];
    log::info("computing on {} ({}, {})", device.name(), gpu.name, gpu.place);
  }
  stream_ = std::make_unique<Stream>(device);
}

namespace {

/// Two builds of one program may differ where their version does not.
std::string own_program() {
  Hasher hasher;
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<char> piece(std::size_t{1} << 20);
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0)
    hasher.update(piece.data(), static_cast<std::size_t>(file.gcount()));
  return hasher.digest().hex();
}

/// What every rank must have been started with; where it came from may differ.
std::vector<std::pair<std::string, std::string>> values_of(const OptionSet& options) {
  std::vector<std::pair<std::string, std::string>> out{{"trireme version", TRIREME_VERSION},
                                                       {"the program's file, by its checksum,", own_program()}};
  for (const ResolvedOption& option : options.resolved()) out.emplace_back(option.name, option.value);
  return out;
}

int run_ranks(OptionSet& options, const SessionOptions& wanted, const std::function<void(Session&)>& job) {
  MpiRuntime runtime;
  try {
    check_agreement(*runtime.world(), values_of(options));
    ExitCode code = ExitCode::done;
    try {
      Session session(runtime, wanted);
      job(session);
      session.world().log().set_phase("end");
    } catch (const LeaveJob& leave) {
      code = leave.code;
    }
    runtime.close();
    return static_cast<int>(code);
  } catch (const Error& error) {
    runtime.abort(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    runtime.abort(ExitCode::failure, "out of host memory; use a smaller batch or model, or fewer ranks per host");
  } catch (const std::exception& error) {
    runtime.abort(ExitCode::failure, error.what());
  }
}

}  // namespace

int run_program(OptionSet& options, const Arguments& arguments, const std::function<void(Session&)>& job) {
  try {
    // A file size limit (ulimit -f) shall be an error of the write that meets it, not the end of the process.
    ::signal(SIGXFSZ, SIG_IGN);
    progress_page();  // a start that hangs shall be seen, too
    wait_passively(arguments.values);
    check_processor();
    SessionOptions session;
    session.declare(options);
    if (options.parse(arguments.count, arguments.values) == ParseOutcome::exit_done) return 0;
    return run_ranks(options, session, job);
  } catch (const Error& error) {
    log::error("{}", error.what());
    return static_cast<int>(error.code());
  }
}

}  // namespace trireme
