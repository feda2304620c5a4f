// The calls of libnccl.so.2, opened when a communicator is made: a program built with NCCL starts on a machine without
// it. The file is looked for in TRIREME_NCCL_LIBRARY alone where that is set; else by the loader, then where it lay
// when the program was built.
#ifdef TRIREME_HAS_NCCL

#include <dlfcn.h>
#include <nccl.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl_api.hpp"
#include "core/base/error.hpp"
#include "core/device/cuda_check.hpp"

namespace trireme::nccl {
namespace {

static_assert(static_cast<int>(Status::in_progress) == ncclInProgress && sizeof(ncclUniqueId) == sizeof(Id));
static_assert(static_cast<int>(Status::remote_error) == ncclRemoteError);

/// ncclCommSplit, non-blocking calls and ncclCommRegister are all there from here on.
constexpr int oldest = NCCL_VERSION(2, 19, 0);

std::string version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

class Library {
 public:
  /// Never closed: NCCL has threads of its own.
  static const Library& get() {
    static const Library only;
    return only;
  }

 private:
  struct Opened {
    void* handle = nullptr;
    std::string file;
  };
  Opened opened_ = open();  // before the table, which is read from it

 public:
#define TRIREME_NCCL(name) decltype(&::name) name = find<decltype(&::name)>(#name)
  TRIREME_NCCL(ncclGetVersion);
  TRIREME_NCCL(ncclGetUniqueId);
  TRIREME_NCCL(ncclCommInitRankConfig);
  TRIREME_NCCL(ncclCommSplit);
  TRIREME_NCCL(ncclCommUserRank);
  TRIREME_NCCL(ncclCommGetAsyncError);
  TRIREME_NCCL(ncclGetErrorString);
  TRIREME_NCCL(ncclGetLastError);
  TRIREME_NCCL(ncclCommFinalize);
  TRIREME_NCCL(ncclCommDestroy);
  TRIREME_NCCL(ncclCommAbort);
  TRIREME_NCCL(ncclGroupStart);
  TRIREME_NCCL(ncclGroupEnd);
  TRIREME_NCCL(ncclAllReduce);
  TRIREME_NCCL(ncclReduceScatter);
  TRIREME_NCCL(ncclAllGather);
  TRIREME_NCCL(ncclBroadcast);
  TRIREME_NCCL(ncclReduce);
  TRIREME_NCCL(ncclSend);
  TRIREME_NCCL(ncclRecv);
  TRIREME_NCCL(ncclMemAlloc);
  TRIREME_NCCL(ncclMemFree);
  TRIREME_NCCL(ncclCommRegister);
  TRIREME_NCCL(ncclCommDeregister);
#undef TRIREME_NCCL

 private:
  Library() {
    int version = 0;
    const bool asked = ncclGetVersion(&version) == ncclSuccess;
    if (!asked || version < oldest)
      fail(ExitCode::usage, "{} is NCCL {}, but 2.19 or newer is needed; install a newer one", opened_.file,
           version_text(version));
  }

  static Opened open() {
    std::vector<std::string> files{"libnccl.so.2", TRIREME_NCCL_FILE};
    if (const char* chosen = std::getenv("TRIREME_NCCL_LIBRARY")) files = {chosen};
    std::string tried;
    for (const auto& file : files) {
      if (file.empty()) continue;
      if (void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return {handle, file};
      const char* why = ::dlerror();
      tried += fmt::format("{}{}", tried.empty() ? "" : "; ", why != nullptr ? why : file.c_str());
    }
    fail(ExitCode::usage,
         "NCCL was asked for, but its library could not be opened ({}); install libnccl2 (NVIDIA's packages), or name "
         "the file in "
         "TRIREME_NCCL_LIBRARY, or let MPI carry the GPU's data",
         tried);
  }

  template <class Function>
  Function find(const char* name) const {
    auto* const symbol = ::dlsym(opened_.handle, name);
    if (symbol == nullptr)
      fail(ExitCode::usage, "{} has no {}: it is too old, NCCL 2.19 or newer is needed", opened_.file, name);
    return reinterpret_cast<Function>(symbol);
  }
};

Status status_of(ncclResult_t result) { return static_cast<Status>(result); }
ncclComm_t as_comm(Comm comm) { return static_cast<ncclComm_t>(comm); }

/// NCCL's threads write the handle when it is ready, so they are given the caller's place itself.
ncclComm_t* place_of(Comm& comm) { return reinterpret_cast<ncclComm_t*>(&comm); }

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::i32:
      return ncclInt32;
    case DType::i64:
      return ncclInt64;
    case DType::u8:
      return ncclUint8;
    case DType::u16:
      fail(ExitCode::failure, "NCCL has no u16; its elements move as bytes");
    case DType::f32:
      break;
  }
  return ncclFloat32;
}

ncclRedOp_t reduction_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::max:
      return ncclMax;
    case Reduction::min:
      return ncclMin;
    case Reduction::sum:
      break;
  }
  return ncclSum;
}

class RealApi final : public Api {
 public:
  explicit RealApi(Device device) : device_(device.index) {}

  Status make_id(Id& id) override {
    ncclUniqueId made;
    const auto result = nccl_.ncclGetUniqueId(&made);
    std::memcpy(id.data(), made.internal, id.size());
    return status_of(result);
  }

  Status init(Comm& comm, const Id& id, const Member& who) override {
    cuda::use_device(device_);
    ncclUniqueId shared;
    std::memcpy(shared.internal, id.data(), id.size());
    ncclConfig_t config = configure(who.name);
    return status_of(nccl_.ncclCommInitRankConfig(place_of(comm), who.ranks, shared, who.rank, &config));
  }

  Status split(Comm parent, Comm& part, const Colour& colour) override {
    cuda::use_device(device_);
    ncclConfig_t config = configure(colour.name);
    return status_of(nccl_.ncclCommSplit(as_comm(parent), colour.colour < 0 ? NCCL_SPLIT_NOCOLOR : colour.colour,
                                         colour.key, place_of(part), &config));
  }

  Status rank_of(Comm comm, int& rank) override { return status_of(nccl_.ncclCommUserRank(as_comm(comm), &rank)); }

  Status state(Comm comm) override {
    ncclResult_t behind = ncclSuccess;
    const auto result = nccl_.ncclCommGetAsyncError(as_comm(comm), &behind);
    return status_of(result == ncclSuccess ? behind : result);
  }

  std::string explain(Comm comm, Status status) override {
    const char* words = nccl_.ncclGetErrorString(static_cast<ncclResult_t>(status));
    const char* last = nccl_.ncclGetLastError(as_comm(comm));
    std::string out = words != nullptr ? words : "";
    if (last != nullptr && *last != '\0') out += fmt::format("; {}", last);
    return out;
  }

  Status finalize(Comm comm) override { return status_of(nccl_.ncclCommFinalize(as_comm(comm))); }
  Status destroy(Comm comm) override { return status_of(nccl_.ncclCommDestroy(as_comm(comm))); }

  /// On a thread of its own: kernels are told to leave at once, but giving up connections may take its time where the
  /// other end is gone.
  void abort(Comm comm) override {
    std::thread([aborted = as_comm(comm), call = nccl_.ncclCommAbort, device = device_] {
      try {
        cuda::use_device(device);
        call(aborted);
      } catch (...) {  // the first failure is already told
      }
    }).detach();
  }

  Status group_start() override { return status_of(nccl_.ncclGroupStart()); }
  Status group_end() override { return status_of(nccl_.ncclGroupEnd()); }

  Status enqueue(const Transfer& t, Comm to, const Stream& on) override {
    cuda::use_device(device_);
    auto* const comm = as_comm(to);
    auto* const stream = static_cast<cudaStream_t>(on.native());
    const auto type = type_of(t.dtype);
    const auto op = reduction_of(t.reduction);
    switch (t.operation) {
      case Operation::all_reduce:
        return status_of(nccl_.ncclAllReduce(t.from, t.to, t.count, type, op, comm, stream));
      case Operation::reduce_scatter:
        return status_of(nccl_.ncclReduceScatter(t.from, t.to, t.count, type, op, comm, stream));
      case Operation::all_gather:
        return status_of(nccl_.ncclAllGather(t.from, t.to, t.count, type, comm, stream));
      case Operation::broadcast:
        return status_of(nccl_.ncclBroadcast(t.from, t.to, t.count, type, t.peer, comm, stream));
      case Operation::reduce:
        return status_of(nccl_.ncclReduce(t.from, t.to, t.count, type, op, t.peer, comm, stream));
      case Operation::send:
        return status_of(nccl_.ncclSend(t.from, t.count, type, t.peer, comm, stream));
      case Operation::recv:
        break;
    }
    return status_of(nccl_.ncclRecv(t.to, t.count, type, t.peer, comm, stream));
  }

  Status allocate(Block& block) override {
    cuda::use_device(device_);
    return status_of(nccl_.ncclMemAlloc(&block.data, block.bytes));
  }
  void release(const Block& block) override { nccl_.ncclMemFree(block.data); }
  Status register_memory(Comm comm, const Block& block, void*& handle) override {
    return status_of(nccl_.ncclCommRegister(as_comm(comm), block.data, block.bytes, &handle));
  }
  Status unregister(Comm comm, void* handle) override {
    return status_of(nccl_.ncclCommDeregister(as_comm(comm), handle));
  }

 private:
  static ncclConfig_t configure(const std::string& name) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0)
    config.commName = kept(name);
#else
    static_cast<void>(name);
#endif
    return config;
  }
  /// NCCL may keep the pointer.
  [[maybe_unused]] static const char* kept(const std::string& name) {
    static std::mutex guard;
    static auto& names = *new std::deque<std::string>;
    const std::lock_guard lock(guard);
    return names.emplace_back(name).c_str();
  }

  const Library& nccl_ = Library::get();
  int device_;
};

}  // namespace

std::shared_ptr<Api> open_library(Device device) { return std::make_shared<RealApi>(device); }

std::string unavailable_reason() {
  try {
    Library::get();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace trireme::nccl

#endif
