// The order of a save, kept by agreement: no rank writes before the folder is there, nothing is published before every
// rank's file is on the disk, and the folder is removed only when every rank has stopped writing into it.
#include "launcher/run/checkpointer.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#include "comm/parallel/pieces.hpp"
#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/base/profile.hpp"
#include "core/device/pinned.hpp"

namespace trireme {
namespace {

/// What a rank's work came to, as the others are told: 'y' and a text, or 'n' and what went wrong.
std::string answer_of(const std::function<std::string()>& work) {
  try {
    return "y" + work();
  } catch (const std::exception& error) {
    return std::string("n") + error.what();
  }
}

std::string complaint_of(const std::string& answer) {
  if (answer.starts_with('y')) return "";
  return answer.size() > 1 ? answer.substr(1) : "an unknown failure";
}

std::string with_place(const Communicator& ranks, int rank, const std::string& text) {
  return ranks.size() == 1 ? text : fmt::format("rank {} on {}: {}", rank, ranks.host_of(rank), text);
}

std::string first_complaint_in(const Communicator& ranks, const std::vector<std::string>& answers) {
  for (int r = 0; r < ranks.size(); ++r) {
    const std::string text = complaint_of(answers[to_size(r)]);
    if (!text.empty()) return with_place(ranks, r, text);
  }
  return "";
}

}  // namespace

std::string first_complaint(Communicator& ranks, const std::string& mine) {
  return first_complaint_in(ranks, ranks.all_gather_text(mine.empty() ? "y" : "n" + mine));
}

/// One piece of work, in a thread or at once, and what it came to.
class Checkpointer::Worker {
 public:
  Worker(std::function<std::string()> work, Writing writing) {
    if (writing == Writing::at_once) {
      answer_ = answer_of(work);
      done_ = true;
      return;
    }
    thread_ = std::jthread([this, work = std::move(work)] {
      answer_ = answer_of(work);
      done_.store(true, std::memory_order_release);
    });
  }
  bool done() const { return done_.load(std::memory_order_acquire); }
  const std::string& wait() {
    if (thread_.joinable()) thread_.join();
    return answer_;
  }

 private:
  std::string answer_;
  std::atomic<bool> done_{false};
  std::jthread thread_;
};

Checkpointer::Checkpointer(std::shared_ptr<Communicator> ranks, Settings settings)
    : ranks_(std::move(ranks)), settings_(std::move(settings)), store_(settings_.folder) {}

Checkpointer::~Checkpointer() = default;

/// This rank's pieces, which may be read once `there`.
struct Checkpointer::Share {
  std::vector<PieceSource> pieces;
  std::shared_ptr<const Event> there;
};

Checkpointer::Share Checkpointer::take_share(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorSize> sizes;
  for (const NamedTensor& one : tensors) sizes.push_back({one.tensor.elements(), size_of(one.tensor.dtype())});
  const std::vector<PieceRange> ranges = pieces_of(sizes, ranks_->rank(), ranks_->size());
  std::vector<PieceSource> pieces;
  std::vector<const std::byte*> from;
  std::size_t bytes = 0;
  for (const PieceRange& range : ranges) {
    const NamedTensor& one = tensors[range.tensor];
    const std::size_t size = sizes[range.tensor].element_bytes;
    pieces.push_back({.plane = one.plane,
                      .name = one.name,
                      .dtype = one.tensor.dtype(),
                      .shape = one.shape,
                      .first = range.first,
                      .count = range.count});
    from.push_back(static_cast<const std::byte*>(one.tensor.raw()) + to_size(range.first) * size);
    bytes += to_size(range.count) * size;
  }
  const Stream host, &stream = settings_.stream != nullptr ? *settings_.stream : host;
  const Device device = stream.device();
  const bool in_place = settings_.writing == Writing::at_once && !device.is_cuda();
  if (!in_place && (copy_ == nullptr || copy_->bytes() < bytes)) {
    copy_.reset();
    copy_ = staging_allocator(device).allocate(bytes);
  }
  std::byte* to = in_place ? nullptr : static_cast<std::byte*>(copy_->data());
  for (std::size_t k = 0; k < pieces.size(); ++k) {
    const std::size_t size = to_size(pieces[k].count) * size_of(pieces[k].dtype);
    pieces[k].data = in_place ? from[k] : to;
    if (in_place) continue;
    copy_bytes({to, Device::cpu()}, {from[k], device}, size, stream);
    to += size;
  }
  return {std::move(pieces), std::make_shared<const Event>(stream.record())};
}

void Checkpointer::start(std::function<std::string()> work) {
  worker_ = std::make_unique<Worker>(std::move(work), settings_.writing);
}

std::optional<SaveReport> Checkpointer::begin(CheckpointManifest head, const std::vector<NamedTensor>& tensors) {
  require(!busy(), "a checkpoint was begun while the one of step {} is being written", head_.step);
  const ProfileSpan span("checkpoint", ProfileSpan::Kind::phase);
  ranks_->log().set_phase("checkpoint");
  began_ = steady_seconds();
  report_ = {};
  report_.step = head.step;
  head_ = std::move(head);
  const std::string folder = fmt::format("{}/.{}.partial", settings_.folder, checkpoint_name(head_.step));
  const std::string made = leads() ? answer_of([&] { return store_.begin(head_.step); }) : "y";
  if (std::string error = first_complaint(*ranks_, complaint_of(made)); !error.empty()) return end(std::move(error));
  std::string file = fmt::format("{}/rank_{:05}.h5", folder, ranks_->rank());
  start([file = std::move(file), step = head_.step, share = take_share(tensors)] {
    share.there->wait();
    return write_checkpoint_file(file, step, share.pieces).to_text();
  });
  phase_ = Phase::writing;
  if (settings_.writing == Writing::at_once) return wait();
  report_.stalled_seconds += steady_seconds() - began_;
  return std::nullopt;
}

std::optional<SaveReport> Checkpointer::poll() {
  if (!busy()) return std::nullopt;
  const double mine[] = {worker_ == nullptr || worker_->done() ? 1.0 : 0.0};
  const double started = steady_seconds();
  if (ranks_->all_reduce_values(mine)[0] < ranks_->size()) return std::nullopt;
  std::optional<SaveReport> report = advance();
  if (report) {
    report->stalled_seconds += steady_seconds() - started;
  } else {
    report_.stalled_seconds += steady_seconds() - started;
  }
  return report;
}

std::optional<SaveReport> Checkpointer::wait() {
  const double started = steady_seconds();
  if (busy()) ranks_->log().set_phase("checkpoint");
  std::optional<SaveReport> report;
  while (busy() && !report) report = advance();
  if (report) report->stalled_seconds += steady_seconds() - started;
  return report;
}

/// Waits for this rank's work, hears what all came to, and goes to the next phase.
std::optional<SaveReport> Checkpointer::advance() {
  const std::string mine = worker_ ? worker_->wait() : "y";
  worker_.reset();
  const std::vector<std::string> answers = ranks_->all_gather_text(mine);
  if (std::string error = first_complaint_in(*ranks_, answers); !error.empty()) return end(std::move(error));
  if (phase_ == Phase::publishing) {
    const Json told = Json::parse(answers.front().substr(1));
    report_.path = told.at("path");
    report_.bytes = told.at("bytes");
    report_.removed = told.at("removed").get<std::vector<std::int64_t>>();
    return end("");
  }
  phase_ = Phase::publishing;
  if (!leads()) return std::nullopt;
  std::vector<WrittenFile> files;
  for (const std::string& answer : answers) files.push_back(WrittenFile::from_text(answer.substr(1)));
  // On this thread, which is the one that writes what is to be on the disk before.
  const std::string ready = answer_of([&] {
    if (settings_.before_publishing) settings_.before_publishing();
    return std::string();
  });
  start([this, ready, files = std::move(files)] {
    if (const std::string complaint = complaint_of(ready); !complaint.empty()) fail(ExitCode::storage, "{}", complaint);
    return publish(files);
  });
  return std::nullopt;
}

std::string Checkpointer::publish(const std::vector<WrittenFile>& files) {
  merge_written(head_, files);
  const std::string path = store_.commit(head_);
  std::int64_t bytes = 0;
  for (const WrittenFile& one : files) bytes += one.file.bytes;
  std::vector<std::int64_t> removed;
  try {
    removed = store_.prune(settings_.keep);
  } catch (const Error& error) {
    // The new checkpoint is there all the same: too many are better than too few.
    log::warning("older checkpoints stay: {}", error.what());
  }
  return Json{{"path", path}, {"bytes", bytes}, {"removed", removed}}.dump();
}

SaveReport Checkpointer::end(std::string error) {
  if (!error.empty() && leads()) store_.abandon(head_.step);
  phase_ = Phase::idle;
  report_.error = std::move(error);
  report_.seconds = steady_seconds() - began_;
  return report_;
}

}  // namespace trireme
