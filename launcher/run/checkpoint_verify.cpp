// verify_checkpoint(): every byte of a checkpoint against its manifest, reading on after what is wrong.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "core/base/error.hpp"
#include "launcher/run/checkpoint_bytes.hpp"
#include "launcher/run/checkpoint_reader.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// A piece and the tensor it belongs to.
struct Part {
  const SavedTensor* tensor;
  const SavedPiece* piece;
};

class Verification {
 public:
  Verification(const std::string& folder, const std::function<void(std::int64_t, std::int64_t)>& progress)
      : folder_(folder), progress_(progress), manifest_(read_manifest(folder)), ranges_(ranges_of_files(manifest_)) {
    for (const auto& file : manifest_.files) total_ += file.bytes;
    for (const auto& tensor : manifest_.tensors) {
      for (const auto& piece : tensor.pieces) parts_[piece.file].push_back({&tensor, &piece});
    }
    on_bytes_ = [this](std::int64_t bytes) {
      done_ += bytes;
      if (progress_) progress_(done_, total_);
    };
  }

  std::vector<std::string> run() {
    for (const auto& file : manifest_.files) note([&] { check_file(file); });
    note([&] { check_foreign(); });
    return std::move(problems_);
  }

 private:
  template <class Check>
  void note(const Check& check) {
    try {
      check();
    } catch (const Error& error) {
      problems_.emplace_back(error.what());
    }
  }

  /// "param/0.weight and 3 other tensors".
  static std::string tensors_text(const std::vector<Part>& parts) {
    std::set<std::string> labels;
    for (const auto& part : parts) labels.insert(part.tensor->label());
    if (labels.empty()) return "no tensor";
    if (labels.size() == 1) return *labels.begin();
    return fmt::format("{} and {} other tensors", *labels.begin(), labels.size() - 1);
  }

  void check_file(const SavedFile& file) {
    auto& parts = parts_[file.name];
    std::ranges::sort(parts, {}, [](const Part& part) { return part.piece->offset; });
    OpenedFile opened;
    try {
      opened = open_checkpoint_file(folder_ + "/" + file.name, file.name);
    } catch (const Error& error) {
      throw Error(fmt::format("{}; it holds {}", error.what(), tensors_text(parts)), error.code());
    }
    if (opened.bytes != file.bytes) {
      problems_.push_back(fmt::format("{}: has {} bytes where {} were written", file.name, opened.bytes, file.bytes));
    } else {
      note([&] { check_structure(opened, file.structure, ranges_.at(file.name), on_bytes_); });
    }
    for (const auto& part : parts) {
      note([&] {
        read_piece(opened, *part.tensor, *part.piece, {.wanted = {}, .out = nullptr, .on_bytes = on_bytes_});
      });
    }
  }

  /// A file that nobody wrote is no damage to a tensor, but nothing vouches for it.
  void check_foreign() {
    std::set<std::string> known = {manifest_file};
    for (const auto& file : manifest_.files) known.insert(file.name);
    std::error_code error;
    std::set<std::string> foreign;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (!known.contains(name)) foreign.insert(name);
    }
    if (error) fail(ExitCode::storage, "cannot list {}: {}", folder_, error.message());
    for (const auto& name : foreign) problems_.push_back(name + ": foreign file: the manifest does not name it");
  }

  std::string folder_;
  const std::function<void(std::int64_t, std::int64_t)>& progress_;
  CheckpointManifest manifest_;
  std::map<std::string, std::vector<ByteRange>> ranges_;
  std::map<std::string, std::vector<Part>> parts_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
  OnBytes on_bytes_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> verify_checkpoint(const std::string& folder,
                                           const std::function<void(std::int64_t, std::int64_t)>& progress) {
  try {
    return Verification(folder, progress).run();
  } catch (const Error& error) {
    return {error.what()};
  }
}

}  // namespace trireme
